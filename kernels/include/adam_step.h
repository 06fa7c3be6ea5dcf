// adam_step: Adam, or AdamW where `decoupled`, in PyTorch's form, over a flat span.
//
//   g = grad + weight_decay w (Adam),   w = (1 - lr weight_decay) w (AdamW)
//   exp_avg    = exp_avg + (1 - beta1) (g - exp_avg)
//   exp_avg_sq = beta2 exp_avg_sq + (1 - beta2) g^2
//   w = w - lr / (1 - beta1^step) * exp_avg / (sqrt(exp_avg_sq) / sqrt(1 - beta2^step) + eps)
//
// Every a + s b and a + s b c is one fused multiply-add, as in PyTorch's vectorised loops; numbers
// are cast to the tensors' type first. f64 results are PyTorch's bit for bit; so are f32 ones but
// for its square root, which is MKL's and up to 1 ulp off. In f32 an exp_avg that would be
// subnormal (below 1.2e-38) becomes zero.
//
// Mixed precision, on devices other than the CPU: w and both averages are f32; the gradient may
// have 16 bits, and `copy` then gets w rounded to its type. `loss_scale` is as in sgd_step; a step
// that it leaves out writes nothing.
//
// Shapes    w, exp_avg, exp_avg_sq: f32 or f64, any one shape. Both averages start at 0.
//           grad: as w, or beside f32 f16 or bf16 of that shape    copy: as a 16-bit grad, on
//           the CPU bf16 beside an f32 grad, or empty
//           loss_scale: f32 [4], or empty.
//           step >= 1 counts this one. 0 <= beta < 1. state: null, or on a device where lr and step
//           come from instead (kernels/include/step_state.h); halted, nothing is written.
// Aliasing  none.
// Writes    w, exp_avg, exp_avg_sq and copy, in place.
// Source    docs/math.md, "Adam"; Kingma, Ba, arXiv 1412.6980; Loshchilov, Hutter, arXiv
//           1711.05101; torch.optim.Adam, torch.optim.AdamW.
#pragma once

#include <cstdint>

#include "kernels/common/op_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct AdamStepArgs {
  Tensor w, grad, exp_avg, exp_avg_sq;
  Tensor copy, loss_scale;
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
  std::int64_t step = 1;
  const StepState* state = nullptr;
};

void check(const AdamStepArgs& a);

namespace cpu {
void adam_step(Context&, const AdamStepArgs&);
}

inline void adam_step(Context& c, const AdamStepArgs& a) {
  check(a);
  on_device(c, Op::adam_step, a, cpu::adam_step);
}

}  // namespace kiln
