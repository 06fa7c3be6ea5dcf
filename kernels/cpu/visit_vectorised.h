// The element types with vectorised bodies on the CPU: f32, and bf16 as storage.
#pragma once

#include "kernels/cpu/has_bf16.h"

namespace kiln::cpu {

// Calls f(T{}) with the C++ type where `dtype` is one of them, and says whether it is; f64 has
// plain bodies.
template <class F>
bool visit_vectorised(DType dtype, F&& f) {
  if (dtype == DType::f32) {
    std::forward<F>(f)(float{});
    return true;
  }
  if constexpr (kHasBf16) {
    if (dtype == DType::bf16) {
      std::forward<F>(f)(BFloat16{});
      return true;
    }
  }
  return false;
}

}  // namespace kiln::cpu
