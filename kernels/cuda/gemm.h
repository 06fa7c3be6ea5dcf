// A matrix product of any strides for f32, f64 and the 16-bit types, which are summed in f32, on
// plain cores:
//
//   c[m,n] (+)= sum_k a[m*a_m + k*a_k] * b[k*b_k + n*b_n] + start[n]        then perhaps relu
//
// A block of 16 x 16 threads makes a tile of 16 x 16 elements; both operands pass through shared
// memory 16 deep, so each number is read from memory once per tile. One sum per element in the
// order of k: the bits depend on nothing else. Floor: 2 m n k operations; each operand is read
// ceil(n / 16) or ceil(m / 16) times, 4 bytes an element in f32, 2 in 16 bits.
#pragma once

#include "kernels/cuda/storage.h"
#include "kernels/include/activation.h"

namespace kiln::cuda {

template <class T>
struct Gemm {
  const T *a, *b;
  T* c;  // row-major [m, n]
  const T* start = nullptr;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t a_m = 0, a_k = 0, b_k = 0, b_n = 0;
  bool add = false;
  Activation activation = Activation::none;
};

// Defined for float, double, Float16 and BFloat16 in gemm.cu. `name` is the op's.
template <class T>
void gemm(Context& c, const char* name, const Gemm<T>& job);

}  // namespace kiln::cuda
