// avgpool: the mean of every window.
//
//   y[n,p,q,c] = 1/D sum over (r,s) of x[n, p*stride_h - pad_h + r, q*stride_w - pad_w + s, c]
//
// with x zero outside its borders and D = R*S, or without count_include_pad the number of places of
// the window inside the picture. A window of H x W is global average pooling.
//
// Shapes    x: floating [N,H,W,C]    y: same type [N,P,Q,C]. pad <= half the window.
// Aliasing  none.
// Order     the window is summed in row-major order.
// Source    docs/math.md, "Average pooling".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct AvgpoolArgs {
  Pool2dShape shape;
  Tensor x, y;
  bool count_include_pad = true;
};

void check(const AvgpoolArgs& a);

namespace cpu {
void avgpool(Context&, const AvgpoolArgs&);
}

inline void avgpool(Context& c, const AvgpoolArgs& a) {
  check(a);
  on_device(c, Op::avgpool, a, cpu::avgpool);
}

}  // namespace kiln
