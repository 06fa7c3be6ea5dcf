// GELU of what is stored as T. Phi(x) is formed as erfc, which keeps the digits of the left tail.
//
// f32 and f64 are computed in double: in f32 the argument's rounding alone would cost the tail ten
// bits. Those are ten of 24, so for a result of 11 or 8 bits f32 is enough. What double costs
// beside the element's bytes is not yet measured on a GPU.
#pragma once

#include "kernels/common/activation_math.h"
#include "kernels/cuda/storage.h"

namespace kiln::cuda {

template <class T>
__device__ inline Accumulated<T> gelu_value(Accumulated<T> x) {
  using A = Accumulated<T>;
  // -inf * 0 would be NaN; the limit is -0.
  if (x < A(-40)) return A(-0.0);
  if constexpr (sizeof(T) == 2)
    return x * (0.5f * std::erfc(-x * 0.70710678f));
  else
    return static_cast<A>(gelu_of(static_cast<double>(x)));
}
template <class T>
__device__ inline auto gelu_derivative(Accumulated<T> x) {
  using Wide = std::conditional_t<sizeof(T) == 2, float, double>;
  if (x < Accumulated<T>(-40)) return Wide(0);
  if (x > Accumulated<T>(40)) return Wide(1);
  if constexpr (sizeof(T) == 2)
    return 0.5f * std::erfc(-x * 0.70710678f) + x * (0.39894228f * std::exp(-0.5f * x * x));
  else
    return gelu_slope(static_cast<double>(x));
}

}  // namespace kiln::cuda
