// loss_scale_update: the end of a step of training in f16. The state of loss scaling lies in device
// memory, as four f32 numbers, so that no step waits for the host:
//
//   state[0]  scale     what the loss is multiplied by, a power of two
//   state[1]  good      steps since the scale changed or a step was left out
//   state[2]  found     1 where a gradient was not finite: the optimizers then write nothing
//   state[3]  skipped   steps left out since the start
//
//   found != 0:  scale = max(scale / 2, 1)      good = 0      skipped + 1
//   else:        good + 1; at `growth_interval` scale = min(2 scale, 2^24) and good = 0
//   found = 0
//
// Counters count exactly up to 2^24.
//
// Shapes    state: f32 [4]. growth_interval >= 1.
// Source    docs/math.md, "Mixed precision"; Micikevicius et al., arXiv 1710.03740.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

// Places in the state.
enum LossScaleState : int {
  kLossScale,
  kGoodSteps,
  kFoundNonfinite,
  kSkippedSteps,
  kLossScaleSize
};

inline constexpr float kFirstLossScale = 65536, kSmallestLossScale = 1, kLargestLossScale = 0x1p24f;

struct LossScaleUpdateArgs {
  Tensor state;
  int growth_interval = 2000;
};

inline void check(const LossScaleUpdateArgs& a) {
  require_tensor("loss_scale_update", "state", a.state, {kLossScaleSize}, DType::f32,
                 a.state.device());
  require(a.growth_interval >= 1, "loss_scale_update", "growth_interval must be at least 1");
}

namespace cpu {
void loss_scale_update(Context&, const LossScaleUpdateArgs&);
}

inline void loss_scale_update(Context& c, const LossScaleUpdateArgs& a) {
  check(a);
  on_device(c, Op::loss_scale_update, a, cpu::loss_scale_update);
}

}  // namespace kiln
