// relu_grad: gradient of y = max(x, 0), from its result.
//
//   dx = dy where y > 0, else 0        (y NaN: 0, as the comparison is false)
//
// Shapes    y, dy, dx: floating, any one shape; dx may be empty where mode is skip.
// Aliasing  dx may be dy (overwrite only); any other overlap is an error.
// Writes    dx = ..., dx += ... or nothing, by `mode`.
// Source    docs/math.md, "ReLU".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct ReluGradArgs {
  Tensor y, dy, dx;
  GradWrite mode = GradWrite::overwrite;
};

inline void check(const ReluGradArgs& a) {
  require_alike("relu_grad", {"y", a.y}, {{"dy", a.dy}});
  if (a.mode != GradWrite::skip) require_alike("relu_grad", {"y", a.y}, {{"dx", a.dx}});
}

namespace cpu {
void relu_grad(Context&, const ReluGradArgs&);
}

inline void relu_grad(Context& c, const ReluGradArgs& a) {
  check(a);
  on_device(c, Op::relu_grad, a, cpu::relu_grad);
}

}  // namespace kiln
