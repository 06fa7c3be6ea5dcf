// Pooling of rows of T, f32 or bf16, vectorised over channels.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// Pool2dShape as plain numbers, p and q computed: the vectorised files share no inline function
// with the rest of the program.
struct PoolJob {
  std::int64_t h, w, c, r, s, stride_h, stride_w, pad_h, pad_w, p, q;
  bool count_include_pad;
};

}  // namespace kiln::cpu

// The forward ones write the output rows n*P + p in [begin, end), the gradients the input rows
// n*H + h in [begin, end); every row is computed from whole inputs, so rows are independent.
// `index` may be null. `add` says dx += instead of dx =.
KILN_DECLARE_ISA(template <class T>
                 void maxpool_rows(const PoolJob& job, const T* x, T* y, std::uint8_t* index,
                                   std::int64_t begin, std::int64_t end);
                 template <class T>
                 void maxpool_grad_rows(const PoolJob& job, const std::uint8_t* index, const T* dy,
                                        T* dx, std::int64_t begin, std::int64_t end, bool add);
                 template <class T> void avgpool_rows(const PoolJob& job, const T* x, T* y,
                                                      std::int64_t begin, std::int64_t end);
                 template <class T>
                 void avgpool_grad_rows(const PoolJob& job, const T* dy, T* dx, std::int64_t begin,
                                        std::int64_t end, bool add);)
