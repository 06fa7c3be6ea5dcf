// find_nonfinite: notes whether x holds a NaN or an infinity.
//
//   flag[0] = 1 where any x[i] is not finite; else it stays as it is
//
// So several tensors may share one flag. Nothing waits for the answer: the optimizer reads the flag
// where it lies.
//
// Shapes    x: floating, any shape    flag: f32 [1].
// Aliasing  none.
// Source    docs/math.md, "Mixed precision".
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct FindNonfiniteArgs {
  Tensor x, flag;
};

inline void check(const FindNonfiniteArgs& a) {
  require_float("find_nonfinite", "x", a.x);
  require_tensor("find_nonfinite", "flag", a.flag, {1}, DType::f32, a.x.device());
}

namespace cpu {
void find_nonfinite(Context&, const FindNonfiniteArgs&);
}

inline void find_nonfinite(Context& c, const FindNonfiniteArgs& a) {
  check(a);
  on_device(c, Op::find_nonfinite, a, cpu::find_nonfinite);
}

}  // namespace kiln
