// Convolutions by cuDNN: one graph for the forward pass with bias and relu, one for each gradient.
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cudnn {

// Throws Error (unsupported) where cuDNN does not start on the device.
std::unique_ptr<Conv2dProvider> make_conv2d_provider(Device device, Log& log,
                                                     const DeviceConv2dOptions& options);

}  // namespace kiln::cudnn
