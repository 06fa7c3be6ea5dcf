// GELU of flat f32 arrays. `add` says dx += instead of dx =.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

KILN_DECLARE_ISA(void gelu_f32(const float* x, float* y, std::int64_t count);
                 void gelu_grad_f32(const float* x, const float* dy, float* dx, std::int64_t count,
                                    bool add);)
