// conv2d_relu_maxpool_grad: the gradients of conv2d_relu_maxpool.
//
// Behind a 2x2 pooling and a relu at most one of the four elements of a window has a gradient, and
// none in a dead window. So dL/dz is never written out; every window (n,p,q,k) holds one number and
// one place instead:
//
//   g[n,p,q,k] = dy[n,p,q,k] where y[n,p,q,k] > 0, else 0
//   (h, w)     = (2p + a, 2q + b) with index[n,p,q,k] = 2a + b
//
// and with sums over all windows
//
//   dw[k,r,s,c]                            = sum_{n,p,q} g[n,p,q,k] x[n, h - pad_h + r,
//                                                                        w - pad_w + s, c]
//   dx[n, h - pad_h + r, w - pad_w + s, c] = sum_{p,q,k} g[n,p,q,k] w[k,r,s,c]
//   dbias[k]                               = sum_{n,p,q} g[n,p,q,k]
//
// a quarter of the multiplications of the dense gradient, less the dead windows.
//
// Shapes    as conv2d_relu_maxpool; dy as y; dx as x, or empty; dw as w; dbias as bias, or empty
// Types     f32 and f64; index u8. index and y must be those of the forward pass: an index above 3
//           counts as its last two bits.
// Aliasing  none.
// Writes    dx by `mode`, not at all when it is empty or the mode is skip; dw and dbias are
//           replaced, or added to where `accumulate_parameters` is set (micro-batches).
// Order     dx: fixed. dw and dbias: the batch is cut into reduction_parts(N) contiguous groups of
//           images whose partial sums are added in order, so the bits depend on that number:
//           on the thread count normally, on nothing else under --deterministic.
// Source    docs/math.md, "Convolution", "ReLU" and "Max pooling".
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/conv2d_shape.h"
#include "kernels/include/grad_write.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct Conv2dReluMaxpoolGradArgs {
  Conv2dShape shape;
  Pool2dShape pool;
  Tensor x, w, y, index, dy, dx, dw, dbias;
  GradWrite mode = GradWrite::overwrite;
  bool accumulate_parameters = false;
  std::byte* scratch = nullptr;  // conv2d_relu_maxpool_grad_scratch_bytes of it, 64-byte aligned

  bool wants_dx() const { return mode != GradWrite::skip && !dx.empty(); }
};

// Enough with and without dx.
std::size_t conv2d_relu_maxpool_grad_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                                   const Pool2dShape& pool, DType dtype);

// Throws like check(Conv2dReluMaxpoolArgs).
void check(const Conv2dReluMaxpoolGradArgs& args);

namespace cpu {
void conv2d_relu_maxpool_grad(Context& context, const Conv2dReluMaxpoolGradArgs& args);
}

inline void conv2d_relu_maxpool_grad(Context& context, const Conv2dReluMaxpoolGradArgs& args) {
  check(args);
  on_device(context, Op::conv2d_relu_maxpool_grad, args, cpu::conv2d_relu_maxpool_grad);
}

}  // namespace kiln
