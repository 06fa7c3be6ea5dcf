// Convolutions by cuDNN: one graph for the forward pass with bias and relu, one for each gradient.
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cudnn {

// tf32: whether products of f32 may be rounded to 10 bits of mantissa. Throws Error (unsupported).
std::unique_ptr<Conv2dProvider> make_conv2d_provider(Device device, Log& log, bool tf32);

}  // namespace kiln::cudnn
