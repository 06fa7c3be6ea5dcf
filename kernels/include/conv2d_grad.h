// conv2d_grad: the gradients of conv2d. With hi = p*stride_h - pad_h + r*dilation_h and
// wi = q*stride_w - pad_w + s*dilation_w, and sums over what is left out on the left:
//
//   dx[n,h,w,c]  = sum over (p,q,r,s) with hi = h and wi = w, and over k, of dy[n,p,q,k] w[k,r,s,c]
//   dw[k,r,s,c]  = sum_{n,p,q} dy[n,p,q,k] x[n,hi,wi,c]
//   dbias[k]     = sum_{n,p,q} dy[n,p,q,k]
//
// Shapes    as conv2d; dy [N,P,Q,K]; dx [N,H,W,C] or empty; dw as w; dbias [K] or empty
// Types     f32, f64 and bf16, on devices other than the CPU also f16; 16 bits are summed in
//           f32. All tensors alike: dw and dbias of 16 bits too, which the optimizer widens
//           (docs/decisions.md); on the CPU dw and dbias are f32 beside bf16
// Aliasing  none.
// Writes    dx by `mode`, not at all when it is empty or the mode is skip; dw and dbias are
//           replaced, or added to where `accumulate_parameters` is set (micro-batches).
// Order     dx: fixed. dw and dbias: the batch is cut into reduction_parts(N) contiguous groups of
//           images whose partial sums are added in order, so the bits depend on that number:
//           on the thread count normally, on nothing else under --deterministic. Where the CPU
//           multiplies pairs of bf16, those are of images, and the groups are cut between pairs.
// Source    docs/math.md, "Convolution".
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/conv2d_shape.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct Conv2dGradArgs {
  Conv2dShape shape;
  Tensor x, w, dy, dx, dw, dbias;
  GradWrite mode = GradWrite::overwrite;
  bool accumulate_parameters = false;
  std::byte* scratch = nullptr;  // conv2d_grad_scratch_bytes of it, 64-byte aligned

  bool wants_dx() const { return mode != GradWrite::skip && !dx.empty(); }
};

// Enough with and without dx.
std::size_t conv2d_grad_scratch_bytes(const Context& context, const Conv2dShape& shape,
                                      DType dtype);

void check(const Conv2dGradArgs& args);

namespace cpu {
void conv2d_grad(Context& context, const Conv2dGradArgs& args);
}

inline void conv2d_grad(Context& context, const Conv2dGradArgs& args) {
  check(args);
  on_device(context, Op::conv2d_grad, args, cpu::conv2d_grad);
}

}  // namespace kiln
