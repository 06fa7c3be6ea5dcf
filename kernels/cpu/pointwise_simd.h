// Pointwise f32 ops on flat arrays; the contracts are those of the ops of the same names. `add`
// says dx += instead of dx =.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

KILN_DECLARE_ISA(void relu_f32(const float* x, float* y, std::int64_t count);
                 void relu_grad_f32(const float* y, const float* dy, float* dx, std::int64_t count,
                                    bool add);
                 void add_f32(const float* a, const float* b, float* y, std::int64_t count);
                 void add_on_grid_f32(const float* x, double* y, std::int64_t count, double grid);
                 void add_relu_f32(const float* a, const float* b, float* y, std::int64_t count);)
