// The bf16 copy of f32 weights that layers read, written by the optimizers behind their update.
#pragma once

#include "engine/core/tensor.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {

// copy = w, rounded, in `range`; nothing where there is no copy.
inline void write_copy(const Tensor& w, const Tensor& copy, Range range) {
  if (copy.empty()) return;
  KILN_CALL_ISA(
      narrow(w.data<float>() + range.begin, copy.data<BFloat16>() + range.begin, range.count()));
}

}  // namespace kiln::cpu
