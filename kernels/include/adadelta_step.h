// adadelta_step: Adadelta in PyTorch's form, over a flat span.
//
//   g = grad + weight_decay w
//   square_avg = rho square_avg + (1 - rho) g^2
//   d = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
//   acc_delta = rho acc_delta + (1 - rho) d^2
//   w = w - lr d
//
// Every a + s b and a + s b c is one fused multiply-add, as in PyTorch's vectorised loops; numbers
// are cast to the tensors' type first. f64 results are PyTorch's bit for bit; so are f32 ones but
// for its square root, which is MKL's and up to 1 ulp off. In f32 an average that would be
// subnormal (below 1.2e-38) becomes zero.
//
// Mixed precision, on devices other than the CPU: w and both averages are f32; the gradient may
// have 16 bits, and `copy` then gets w rounded to its type. `loss_scale` is as in sgd_step; a step
// that it leaves out writes nothing.
//
// Shapes    w, square_avg, acc_delta: f32 or f64, any one shape. Both averages start at 0.
//           grad: as w, or beside f32 f16 or bf16 of that shape    copy: as a 16-bit grad, on
//           the CPU bf16 beside an f32 grad, or empty
//           loss_scale: f32 [4], or empty    state: null, or on a device where lr comes from
//           instead (kernels/include/step_state.h); halted, nothing is written.
// Aliasing  none.
// Writes    w, square_avg, acc_delta and copy, in place.
// Source    docs/math.md, "Adadelta"; Zeiler, arXiv 1212.5701; torch.optim.Adadelta.
#pragma once

#include "kernels/common/mixed_step_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct AdadeltaStepArgs {
  Tensor w, grad, square_avg, acc_delta;
  Tensor copy, loss_scale;
  double lr = 1.0;
  double rho = 0.9;
  double eps = 1e-6;
  double weight_decay = 0;
  const StepState* state = nullptr;
};

inline void check(const AdadeltaStepArgs& a) {
  require_gradient("adadelta_step", a.w, a.grad, a.copy, a.loss_scale);
  require_alike("adadelta_step", {"w", a.w},
                {{"square_avg", a.square_avg}, {"acc_delta", a.acc_delta}});
  require_no_host_state("adadelta_step", a.w, a.state);
}

namespace cpu {
void adadelta_step(Context&, const AdadeltaStepArgs&);
}

inline void adadelta_step(Context& c, const AdadeltaStepArgs& a) {
  check(a);
  on_device(c, Op::adadelta_step, a, cpu::adadelta_step);
}

}  // namespace kiln
