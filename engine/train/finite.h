// Whether every element of a floating tensor is a finite number.
#pragma once

#include <cmath>
#include <span>

#include "engine/core/tensor.h"
#include "engine/core/transfer.h"

namespace kiln {

inline bool all_finite(const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // x - x is 0 for a finite x and NaN otherwise; the sum keeps a NaN and never overflows.
    const auto finite = [](std::span<const T> elements) {
      T sum = 0;
      for (const T x : elements) sum += x - x;
      return !std::isnan(sum);
    };
    return tensor.device().is_host() ? finite(tensor.elements<const T>())
                                     : finite(elements_of<T>(tensor));
  });
}

}  // namespace kiln
