// dropout_grad: gradient of dropout, dx = dy * m with the forward's mask m, computed again.
//
// Shapes    dy, dx: floating, any one shape; [N,H,W,C] with `channel`; dx may be empty where
//           mode is skip.
// Aliasing  dx may be dy (overwrite only); any other overlap is an error.
// Writes    dx = ..., dx += ... or nothing, by `mode`.
// Source    docs/math.md, "Dropout".
#pragma once

#include <cstdint>

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct DropoutGradArgs {
  Tensor dy, dx;
  double p = 0.5;
  bool channel = false;
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t step = 0;
  std::uint32_t layer_id = 0;
  const StepState* state = nullptr;  // as in dropout
  GradWrite mode = GradWrite::overwrite;
};

void check(const DropoutGradArgs& a);

namespace cpu {
void dropout_grad(Context&, const DropoutGradArgs&);
}

inline void dropout_grad(Context& c, const DropoutGradArgs& a) {
  check(a);
  on_device(c, Op::dropout_grad, a, cpu::dropout_grad);
}

}  // namespace kiln
