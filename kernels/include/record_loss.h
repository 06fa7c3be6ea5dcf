// record_loss: what a batch scored, summed and kept for the host to fetch later.
//
//   log[step % M] = {step, sum_n loss[n], sum_n hit[n]}
//   halted = 1 where the sum of the losses is NaN or an infinity
//
// where step and halted are those of the state. A halted state is left alone, and so is the log:
// the step that went wrong stays the last one.
//
// Shapes    loss: f32 or f64 [N]    hit: i32 [N]    log: M entries, M >= 1
// Aliasing  none.
// Order     in double; 32 partial sums, partial sum l over n = l, l + 32, ... in order, then added
//           in pairs whose numbers differ by 16, 8, 4, 2, 1.
// Source    docs/math.md, "Softmax cross-entropy".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct StepLoss {
  std::uint64_t step = 0;
  double loss_sum = 0;  // nats
  std::int64_t hit_count = 0;
};

struct RecordLossArgs {
  Tensor loss, hit;
  StepState* state = nullptr;  // in the memory of the tensors' device, as `log`
  StepLoss* log = nullptr;
  std::int64_t log_size = 0;
};

void check(const RecordLossArgs& a);

namespace cpu {
void record_loss(Context&, const RecordLossArgs&);
}

inline void record_loss(Context& c, const RecordLossArgs& a) {
  check(a);
  on_device(c, Op::record_loss, a, cpu::record_loss);
}

}  // namespace kiln
