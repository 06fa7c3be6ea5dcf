// Whether every element of a floating tensor is a finite number.
#pragma once

#include <cmath>

#include "engine/core/tensor.h"

namespace kiln {

inline bool all_finite(const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // x - x is 0 for a finite x and NaN otherwise; the sum keeps a NaN and never overflows.
    T sum = 0;
    for (const T x : tensor.elements<T>()) sum += x - x;
    return !std::isnan(sum);
  });
}

}  // namespace kiln
