// The rule of loss_scale_update, the same on every device.
#pragma once

#include "engine/core/rng.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln {

KILN_HOST_DEVICE inline void apply_loss_scale_rule(float* state, float growth_interval) {
  float& scale = state[kLossScale];
  float& good = state[kGoodSteps];
  if (state[kFoundNonfinite] != 0) {
    const float half = scale / 2;
    scale = half < kSmallestLossScale ? kSmallestLossScale : half;
    good = 0;
    state[kSkippedSteps] += 1;
  } else {
    good += 1;
    if (good >= growth_interval) {
      const float twice = 2 * scale;
      scale = twice > kLargestLossScale ? kLargestLossScale : twice;
      good = 0;
    }
  }
  state[kFoundNonfinite] = 0;
}

}  // namespace kiln
