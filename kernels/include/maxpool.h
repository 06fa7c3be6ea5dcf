// maxpool: the largest element of every window, and where it stands.
//
//   y[n,p,q,c] = max over (r,s) of x[n, p*stride_h - pad_h + r, q*stride_w - pad_w + s, c]
//   index[n,p,q,c] = r*S + s of the winner
//
// Only places inside the picture take part: padding never wins. Of equal elements the first in
// row-major order wins, of several NaN the last, as in PyTorch; a NaN in a window makes y NaN.
//
// Shapes    x: floating [N,H,W,C]    y: same type [N,P,Q,C]    index: u8 [N,P,Q,C], or empty
//           where nobody will ask for the gradient. R*S <= 256, pad <= half the window.
// Aliasing  none.
// Source    docs/math.md, "Max pooling".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct MaxpoolArgs {
  Pool2dShape shape;
  Tensor x, y, index;
};

void check(const MaxpoolArgs& a);

namespace cpu {
void maxpool(Context&, const MaxpoolArgs&);
}

inline void maxpool(Context& c, const MaxpoolArgs& a) {
  check(a);
  on_device(c, Op::maxpool, a, cpu::maxpool);
}

}  // namespace kiln
