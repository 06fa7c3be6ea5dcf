// gelu_grad: gradient of y = x Phi(x).
//
//   dx = dy * (Phi(x) + x phi(x)),   phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
//
// Shapes    x, dy, dx: floating, any one shape; dx may be empty where mode is skip.
// Aliasing  dx may be dy (overwrite only); any other overlap is an error.
// Writes    dx = ..., dx += ... or nothing, by `mode`.
// Source    docs/math.md, "GELU".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct GeluGradArgs {
  Tensor x, dy, dx;
  GradWrite mode = GradWrite::overwrite;
};

inline void check(const GeluGradArgs& a) {
  require_alike("gelu_grad", {"x", a.x}, {{"dy", a.dy}});
  if (a.mode != GradWrite::skip) require_alike("gelu_grad", {"x", a.x}, {{"dx", a.dx}});
}

namespace cpu {
void gelu_grad(Context&, const GeluGradArgs&);
}

inline void gelu_grad(Context& c, const GeluGradArgs& a) {
  check(a);
  on_device(c, Op::gelu_grad, a, cpu::gelu_grad);
}

}  // namespace kiln
