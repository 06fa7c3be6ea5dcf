// sgd_step: stochastic gradient descent with momentum, PyTorch's form, over a flat span.
//
//   g = grad + weight_decay w
//   b = g (first_step),   b = momentum b + (1 - dampening) g (later)      where momentum != 0
//   d = g (momentum == 0),   g + momentum b (nesterov),   b (else)
//   w = w - lr d
//
// Every a + s b is one fused multiply-add, as in PyTorch's vectorised loops; numbers are cast to
// the tensors' type first. In f32 a b that would be subnormal (below 1.2e-38) becomes zero.
//
// Shapes    w, grad: f32 or f64, any one shape    momentum_buffer: as w, or empty where momentum
//           is 0. nesterov needs momentum > 0 and dampening == 0.
// Aliasing  none.
// Writes    w and momentum_buffer, in place. momentum_buffer is not read where first_step.
// Source    docs/math.md, "SGD"; torch.optim.SGD.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct SgdStepArgs {
  Tensor w, grad, momentum_buffer;
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool first_step = false;
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
