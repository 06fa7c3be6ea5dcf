// avgpool_grad: spreads every output's gradient evenly over its window.
//
//   dx[n,h,w,c] = sum of dy[n,p,q,c] / D[p,q] over the windows (p,q) that hold (h,w)
//
// Shapes    dy: floating [N,P,Q,C]    dx: same type [N,H,W,C], or empty where mode is skip.
// Aliasing  none.
// Writes    every element of dx is replaced or added to, by `mode`.
// Order     windows are added in row-major order (p, then q).
// Source    docs/math.md, "Average pooling".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct AvgpoolGradArgs {
  Pool2dShape shape;
  Tensor dy, dx;
  GradWrite mode = GradWrite::overwrite;
  bool count_include_pad = true;
};

void check(const AvgpoolGradArgs& a);

namespace cpu {
void avgpool_grad(Context&, const AvgpoolGradArgs&);
}

inline void avgpool_grad(Context& c, const AvgpoolGradArgs& a) {
  check(a);
  on_device(c, Op::avgpool_grad, a, cpu::avgpool_grad);
}

}  // namespace kiln
