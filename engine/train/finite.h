// Whether every element of a floating tensor is a finite number.
#pragma once

#include <cmath>
#include <span>

#include "engine/core/tensor.h"
#include "engine/core/transfer.h"

namespace kiln {

template <class T>
Accumulated<T> wide(T element) {
  if constexpr (sizeof(T) == 2)
    return to_float(element);
  else
    return element;
}

inline bool all_finite(const Tensor& tensor) {
  return visit_storage(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // x - x is 0 for a finite x and NaN otherwise; the sum keeps a NaN and never overflows.
    const auto finite = [](std::span<const T> elements) {
      Accumulated<T> sum = 0;
      for (const T element : elements) {
        const Accumulated<T> x = wide(element);
        sum += x - x;
      }
      return !std::isnan(sum);
    };
    return tensor.device().is_host() ? finite(tensor.elements<const T>())
                                     : finite(elements_of<T>(tensor));
  });
}

}  // namespace kiln
