// conv2d: 2-d convolution (cross-correlation, as everywhere in deep learning) with bias and an
// optional pointwise function, the mathematics of kernels/include/conv2d_shape.h.
//
// Shapes    x [N,H,W,C]; w [K,R,S,C/groups]; bias [K] or empty; y [N,P,Q,K];
//           packed [conv2d_packed_count of `packing`] or empty
// Types     f32 (vectorised), f64 (plain, for gradient checks) and bf16 (vectorised), on devices
//           other than the CPU also f16; 16 bits are summed in f32 and rounded once. All tensors
//           alike, but bias, which beside bf16 is f32 on the CPU
// Subnormal numbers count as zero where the CPU multiplies pairs of bf16
//           (kernels/cpu/conv2d_bf16.h)
// Aliasing  none.
// Writes    y is replaced.
// Order     each element of y is one sum in a fixed order, so neither the batch it stands in nor
//           the thread count changes its bits.
// Source    docs/math.md, "Convolution".
//
// This is the portable body. Layers go through kernels/include/conv2d_provider.h, which may choose
// a library instead.
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln {

struct Conv2dArgs {
  Conv2dShape shape;
  Tensor x, w, bias, y;
  Activation activation = Activation::none;
  std::byte* scratch = nullptr;  // conv2d_scratch_bytes of it, 64-byte aligned
  // What conv2d_pack wrote, where weights do not change; then w is empty. f32 on the CPU only.
  Tensor packed{};
  Filters packing = Filters::packed;  // how
};

// `filters`: how the call will be given them.
std::size_t conv2d_scratch_bytes(const Context& context, const Conv2dShape& shape, DType dtype,
                                 Filters filters = Filters::plain);

// The CPU's f32 body reads weights in an order of its own and packs them in every call. Packed
// beforehand they serve any number of calls, of any N, H and W, with the same bits. Transformed
// beforehand they serve Winograd's algorithm, whose sums are other ones and as independent of the
// batch; four times as many numbers. The order depends on the instruction set in use: not for
// files.
std::int64_t conv2d_packed_count(const Conv2dShape& shape, Filters packing = Filters::packed);
// w: f32 on the CPU, [K,R,S,C/groups]. packed: f32 [conv2d_packed_count]; padding is not read.
void conv2d_pack(const Conv2dShape& shape, const Tensor& w, const Tensor& packed,
                 Filters packing = Filters::packed);
// The faster of the two, whatever N: the rule is in docs/decisions.md.
Filters conv2d_packing(const Conv2dShape& shape);

// Throws Error (unsupported) for an element type other than these and for a shape that is no
// convolution; std::logic_error where a tensor does not fit the shape.
void check(const Conv2dShape& shape);
void check(const Conv2dArgs& args);

namespace cpu {
void conv2d(Context& context, const Conv2dArgs& args);
}

inline void conv2d(Context& context, const Conv2dArgs& args) {
  check(args);
  on_device(context, Op::conv2d, args, cpu::conv2d);
}

}  // namespace kiln
