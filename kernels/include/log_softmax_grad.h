// log_softmax_grad: gradient of log_softmax, from its result.
//
//   dx[n,k] = dy[n,k] - exp(y[n,k]) sum_j dy[n,j]
//
// Shapes    y, dy, dx: floating [N,K]; dx may be empty where mode is skip.
// Aliasing  dx may be dy (overwrite only); any other overlap is an error.
// Writes    dx = ..., dx += ... or nothing, by `mode`.
// Order     each row is summed in one fixed order.
// Source    docs/math.md, "Log-softmax".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct LogSoftmaxGradArgs {
  Tensor y, dy, dx;
  GradWrite mode = GradWrite::overwrite;
};

inline void check(const LogSoftmaxGradArgs& a) {
  require_alike("log_softmax_grad", {"y", a.y}, {{"dy", a.dy}});
  if (a.mode != GradWrite::skip) require_alike("log_softmax_grad", {"y", a.y}, {{"dx", a.dx}});
  require(a.y.shape().rank() == 2 && a.y.shape()[1] >= 1, "log_softmax_grad",
          "y must be [rows, classes] with at least one class");
}

namespace cpu {
void log_softmax_grad(Context&, const LogSoftmaxGradArgs&);
}

inline void log_softmax_grad(Context& c, const LogSoftmaxGradArgs& a) {
  check(a);
  on_device(c, Op::log_softmax_grad, a, cpu::log_softmax_grad);
}

}  // namespace kiln
