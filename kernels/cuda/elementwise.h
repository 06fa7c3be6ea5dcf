// What the elementwise kernels share.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/include/grad_write.h"

namespace kiln::cuda {

// to = value, or to += value.
template <class T>
__device__ inline void write_gradient(T* to, T value, bool add) {
  *to = add ? *to + value : value;
}

// The elements of an optional tensor, or null.
template <class T>
T* optional_data(const Tensor& tensor) {
  return tensor.empty() ? nullptr : tensor.data<T>();
}

// Calls f(T{}) for f32 and f64.
template <class F>
void visit_type(const Tensor& tensor, const F& f) {
  visit_float(tensor.dtype(), f);
}

}  // namespace kiln::cuda
