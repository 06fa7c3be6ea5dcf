// conv2d_relu_maxpool: convolution, relu and 2x2 max pooling in one pass, for layers with few
// channels, where writing the wide activations to memory would cost more than computing them.
//
//   z[n,h,w,k] = bias[k] + sum_{r,s,c} x[n, h - pad_h + r, w - pad_w + s, c] w[k,r,s,c]
//   m[n,p,q,k] = max over a, b in {0,1} of z[n, 2p + a, 2q + b, k]
//   y[n,p,q,k] = max(m[n,p,q,k], 0)
//   index[n,p,q,k] = 2a + b of the maximum: the first in row-major order where several are equal
//
// x is zero outside its borders. Rows and columns of z that no window covers (odd heights and
// widths) are never computed. Where a window is dead, that is y = 0, its index means nothing: relu'
// is 0 there. A NaN in a window makes y NaN.
//
// Shapes    x [N,H,W,C]; w [K,R,S,C]; bias [K] or empty; y [N,P/2,Q/2,K]; index u8 as y, or empty
//           where nobody will ask for the gradient; packed [conv2d_relu_maxpool_packed_count] or
//           empty
// Types     f32 (vectorised) and f64 (plain, for gradient checks); all tensors but index alike
// Aliasing  none.
// Writes    y and index are replaced.
// Order     each z is a fixed sum, so neither the batch an image stands in nor the thread count
//           changes a bit. f64: bias, then taps r, s, c. f32: the fast FIR algorithm along rows and
//           columns, 64 products of 100 for 5x5 filters; z is within 1e-6 of the largest |z|.
// Source    docs/math.md, "Convolution", "ReLU" and "Max pooling".
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

struct Conv2dReluMaxpoolArgs {
  Conv2dShape shape;
  Pool2dShape pool;  // over the convolution's output: n, h, w, c = n, p(), q(), k of `shape`
  Tensor x, w, bias, y, index;
  std::byte* scratch = nullptr;  // conv2d_relu_maxpool_scratch_bytes of it, 64-byte aligned
  // What conv2d_relu_maxpool_pack wrote, where weights do not change; then w and bias are empty.
  // f32 only.
  Tensor packed{};
};

// Whether the fused op and its gradient take these shapes: stride 1, no dilation, no groups,
// R, S <= 7, pad < R, S, few channels; the pooling 2x2 with stride 2 and no padding. For others use
// conv2d, relu and maxpool one by one.
bool conv2d_relu_maxpool_supported(const Conv2dShape& shape, const Pool2dShape& pool);

std::size_t conv2d_relu_maxpool_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                              const Pool2dShape& pool, DType dtype,
                                              Filters filters = Filters::plain);

// As conv2d_pack, with the bias; for any N, but for these H and W.
std::int64_t conv2d_relu_maxpool_packed_count(const Conv2dShape& shape, const Pool2dShape& pool);
void conv2d_relu_maxpool_pack(const Conv2dShape& shape, const Pool2dShape& pool, const Tensor& w,
                              const Tensor& bias, const Tensor& packed);

// Throws Error (unsupported) for an element type other than f32 and f64 and for a shape that is not
// supported; std::logic_error where a tensor does not fit the shape.
void check(const Conv2dReluMaxpoolArgs& args);

namespace cpu {
void conv2d_relu_maxpool(Context& context, const Conv2dReluMaxpoolArgs& args);
}

inline void conv2d_relu_maxpool(Context& context, const Conv2dReluMaxpoolArgs& args) {
  check(args);
  on_device(context, Op::conv2d_relu_maxpool, args, cpu::conv2d_relu_maxpool);
}

}  // namespace kiln
