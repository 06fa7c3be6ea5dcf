// log_softmax: logarithms of the class probabilities of every row.
//
//   y[n,k] = z - log sum_j exp(x[n,j] - m[n]),   z = x[n,k] - m[n],   m[n] = max_k x[n,k]
//
// Shapes    x, y: floating [N,K], K >= 1.
// Aliasing  y may be x; any other overlap is an error.
// Order     each row is summed in one fixed order, so runs agree bit for bit.
// Source    docs/math.md, "Log-softmax".
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct LogSoftmaxArgs {
  Tensor x, y;
};

inline void check(const LogSoftmaxArgs& a) {
  require_alike("log_softmax", {"x", a.x}, {{"y", a.y}});
  require(a.x.shape().rank() == 2 && a.x.shape()[1] >= 1, "log_softmax",
          "x must be [rows, classes] with at least one class");
}

namespace cpu {
void log_softmax(Context&, const LogSoftmaxArgs&);
}

inline void log_softmax(Context& c, const LogSoftmaxArgs& a) {
  check(a);
  on_device(c, Op::log_softmax, a, cpu::log_softmax);
}

}  // namespace kiln
