// The cuDNN plug-in as loaded.
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln {

// A provider that opens libkiln_cudnn.so, beside the program or in ../lib, with the first problem
// that comes. Where it is absent or does not start one line says so, and it takes no problem.
std::unique_ptr<Conv2dProvider> make_cudnn_conv2d_provider(Device device, Log& log,
                                                           const DeviceConv2dOptions& options);

}  // namespace kiln
