// The provider of our own Winograd kernels (kernels/cpu/conv2d_winograd.h).
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

// Takes what uses_winograd (conv2d_winograd_rule.h) says.
std::unique_ptr<Conv2dProvider> make_winograd_conv2d_provider(CpuConv2dAlgorithm algorithm);

}  // namespace kiln::cpu
