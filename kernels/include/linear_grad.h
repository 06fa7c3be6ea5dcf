// linear_grad: the gradients of linear. With dz = dy where y > 0 and 0 elsewhere after a relu, and
// dz = dy otherwise:
//
//   dx = dz w        dw = dz^T x        dbias[o] = sum_n dz[n,o]
//
// Shapes    x [N,I]; w [O,I]; y [N,O], only with relu; dy [N,O]; dx [N,I] or empty; dw [O,I];
//           dbias [O] or empty
// Types     f32, f64 and bf16, on devices other than the CPU also f16; 16 bits are summed in
//           f32. All tensors alike: dw and dbias of 16 bits too, which the optimizer widens
//           (docs/decisions.md); on the CPU dw and dbias are f32 beside bf16
// Aliasing  none; dy is read only.
// Writes    dx by `mode`, not at all when it is empty or the mode is skip; dw and dbias are
//           replaced, or added to where `accumulate_parameters` is set (micro-batches).
// Order     every sum runs in a fixed order; the thread count changes no bit.
// Source    docs/math.md, "Linear".
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct LinearGradArgs {
  Tensor x, w, y, dy, dx, dw, dbias;
  Activation activation = Activation::none;
  GradWrite mode = GradWrite::overwrite;
  bool accumulate_parameters = false;
  std::byte* scratch = nullptr;  // linear_grad_scratch_bytes of it, 64-byte aligned

  bool wants_dx() const { return mode != GradWrite::skip && !dx.empty(); }
};

// Enough with and without dx.
std::size_t linear_grad_scratch_bytes(const Context& context, std::int64_t row_count,
                                      std::int64_t input_count, std::int64_t output_count,
                                      DType dtype);

void check(const LinearGradArgs& args);

namespace cpu {
void linear_grad(Context& context, const LinearGradArgs& args);
}

inline void linear_grad(Context& context, const LinearGradArgs& args) {
  check(args);
  on_device(context, Op::linear_grad, args, cpu::linear_grad);
}

}  // namespace kiln
