// GELU in the type of its argument. Phi(x) is formed as erfc, which keeps the digits of the left
// tail; in f32 the argument's rounding alone would cost it ten bits there, so it is widened to
// double. What that costs beside the element's bytes is not yet measured on a GPU.
#pragma once

#include "kernels/common/activation_math.h"
#include "kernels/cuda/gpu.h"

namespace kiln::cuda {

template <class T>
__device__ inline T gelu_value(T x) {
  // -inf * 0 would be NaN; the limit is -0.
  const auto wide = static_cast<double>(x);
  return wide < -40.0 ? T(-0.0) : static_cast<T>(gelu_of(wide));
}
template <class T>
__device__ inline double gelu_derivative(T x) {
  const auto wide = static_cast<double>(x);
  if (wide < -40.0) return 0.0;
  return wide > 40.0 ? 1.0 : gelu_slope(wide);
}

}  // namespace kiln::cuda
