// The provider of our own kernels: takes every f32, f64 and bf16 problem.
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln::cpu {

std::unique_ptr<Conv2dProvider> make_own_conv2d_provider();

}  // namespace kiln::cpu
