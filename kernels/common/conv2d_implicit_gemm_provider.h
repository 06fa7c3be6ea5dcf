// Convolutions of f16 and bf16 by our own kernels on tensor cores (kernels/cuda/implicit_gemm.h).
#pragma once

#include <memory>

#include "kernels/include/conv2d_provider.h"

namespace kiln {

std::unique_ptr<Conv2dProvider> make_implicit_gemm_provider();

}  // namespace kiln
