// maxpool_grad: hands every output's gradient to the element that won its window.
//
//   dx[n,h,w,c] = sum of dy[n,p,q,c] over the windows (p,q) whose winner was (h,w)
//
// Shapes    index: u8 [N,P,Q,C], as written by maxpool    dy: floating [N,P,Q,C]
//           dx: same type [N,H,W,C], or empty where mode is skip.
// Aliasing  none.
// Writes    every element of dx is replaced or added to, by `mode`.
// Order     windows are added in row-major order (p, then q).
// Source    docs/math.md, "Max pooling".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct MaxpoolGradArgs {
  Pool2dShape shape;
  Tensor index, dy, dx;
  GradWrite mode = GradWrite::overwrite;
};

void check(const MaxpoolGradArgs& a);

namespace cpu {
void maxpool_grad(Context&, const MaxpoolGradArgs&);
}

inline void maxpool_grad(Context& c, const MaxpoolGradArgs& a) {
  check(a);
  on_device(c, Op::maxpool_grad, a, cpu::maxpool_grad);
}

}  // namespace kiln
