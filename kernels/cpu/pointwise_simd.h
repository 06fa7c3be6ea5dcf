// Pointwise ops on flat arrays of T, f32 or bf16; the contracts are those of the ops of the same
// names. `add` says dx += instead of dx =.
#pragma once

#include <cstdint>

#include "engine/core/half.h"
#include "kernels/cpu/isa.h"

KILN_DECLARE_ISA(template <class T> void relu(const T* x, T* y, std::int64_t count);
                 template <class T>
                 void relu_grad(const T* y, const T* dy, T* dx, std::int64_t count, bool add);
                 template <class T> void add(const T* a, const T* b, T* y, std::int64_t count);
                 template <class T> void add_relu(const T* a, const T* b, T* y, std::int64_t count);
                 void add_on_grid_f32(const float* x, double* y, std::int64_t count, double grid);
                 void widen(const BFloat16* x, float* y, std::int64_t count);
                 void narrow(const float* x, BFloat16* y, std::int64_t count);)
