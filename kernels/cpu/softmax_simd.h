// Rows of class scores.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

struct XentJob {
  const float* z;
  const std::int32_t* t;
  float* loss;
  std::int32_t* hit;
  float* dz;  // null in evaluation; may be z
  std::int64_t classes;
  double label_smoothing, scale;
};

}  // namespace kiln::cpu

// Rows [begin, end); T is f32 or bf16. `add` says dx += instead of dx =.
KILN_DECLARE_ISA(void softmax_xent_rows_f32(const XentJob& job, std::int64_t begin,
                                            std::int64_t end);
                 template <class T> void log_softmax_rows(const T* x, T* y, std::int64_t classes,
                                                          std::int64_t begin, std::int64_t end);
                 template <class T>
                 void log_softmax_grad_rows(const T* y, const T* dy, T* dx, std::int64_t classes,
                                            std::int64_t begin, std::int64_t end, bool add);)
