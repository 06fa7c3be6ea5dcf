// linear: y = act(x w^T + bias).
//
// Shapes    x [N,I]; w [O,I]; bias [O] or empty; y [N,O]
// Types     f32 (vectorised), f64 (plain, for gradient checks) and bf16 (vectorised), on devices
//           other than the CPU also f16; 16 bits are summed in f32 and rounded once. All tensors
//           alike, but bias, which beside bf16 is f32 on the CPU
// Aliasing  none.
// Writes    y is replaced.
// Order     each element of y is one sum in a fixed order; the thread count changes no bit.
// Source    docs/math.md, "Linear".
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"

namespace kiln {

struct LinearArgs {
  Tensor x, w, bias, y;
  Activation activation = Activation::none;
  std::byte* scratch = nullptr;  // linear_scratch_bytes of it, 64-byte aligned
};

std::size_t linear_scratch_bytes(const Context& context, std::int64_t row_count,
                                 std::int64_t input_count, std::int64_t output_count, DType dtype);

// Throws Error (unsupported) for an element type other than these, std::logic_error where the
// shapes do not fit.
void check(const LinearArgs& args);

namespace cpu {
void linear(Context& context, const LinearArgs& args);
}

inline void linear(Context& context, const LinearArgs& args) {
  check(args);
  on_device(context, Op::linear, args, cpu::linear);
}

}  // namespace kiln
