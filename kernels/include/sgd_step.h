// sgd_step: stochastic gradient descent with momentum, PyTorch's form, over a flat span.
//
//   g = grad + grad_rest + weight_decay w
//   b = g (first_step),   b = momentum b + (1 - dampening) g (later)      where momentum != 0
//   d = g (momentum == 0),   g + momentum b (nesterov),   b (else)
//   w = w - lr d
//
// Every a + s b is one fused multiply-add, as in PyTorch's vectorised loops; numbers are cast to
// the tensors' type first. In f32 a b that would be subnormal (below 1.2e-38) becomes zero.
//
// grad_rest is for a batch whose gradient came in two parts: their sum is never stored, which
// spares a pass over memory (and on the CPU the cache lines of one thread's part a way to
// another's).
//
// Mixed precision, on devices other than the CPU: w and the buffer are f32; the gradient may have
// 16 bits, and `copy` then gets w rounded to its type. With `loss_scale` (its four numbers:
// kernels/include/loss_scale_update.h) grad is first divided by the scale, exactly, as the scale is
// a power of two; where its flag says that a gradient was not finite nothing is written.
//
// Shapes    w: f32 or f64, any shape    grad: as w, or beside f32 f16 or bf16 of that shape
//           grad_rest: as grad, or empty; on the CPU only
//           momentum_buffer: as w, or empty where momentum is 0    copy: as a 16-bit grad, on
//           the CPU bf16 beside an f32 grad, or empty
//           loss_scale: f32 [4], or empty    state: null, or on a device where lr and first_step
//           come from instead (kernels/include/step_state.h); halted, nothing is written. nesterov
//           needs momentum > 0 and dampening == 0.
// Aliasing  none.
// Writes    w, momentum_buffer and copy, in place. momentum_buffer is not read where first_step; it
//           should be zero there if the step may be left out.
// Source    docs/math.md, "SGD" and "Mixed precision"; torch.optim.SGD.
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct SgdStepArgs {
  Tensor w, grad, grad_rest, momentum_buffer;
  Tensor copy, loss_scale;
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool first_step = false;
  const StepState* state = nullptr;
  int rate = kBaseRate;  // which of the state's rates
};

void check(const SgdStepArgs& a);

namespace cpu {
void sgd_step(Context&, const SgdStepArgs&);
}

inline void sgd_step(Context& c, const SgdStepArgs& a) {
  check(a);
  on_device(c, Op::sgd_step, a, cpu::sgd_step);
}

}  // namespace kiln
