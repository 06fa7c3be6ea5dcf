// GELU of flat arrays of T, f32 or bf16. `add` says dx += instead of dx =.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

KILN_DECLARE_ISA(template <class T> void gelu(const T* x, T* y, std::int64_t count);
                 template <class T>
                 void gelu_grad(const T* x, const T* dy, T* dx, std::int64_t count, bool add);)
