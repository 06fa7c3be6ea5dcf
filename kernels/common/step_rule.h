// The rule of step_advance, the same on every device.
#pragma once

#include "engine/core/rng.h"
#include "kernels/include/step_state.h"

namespace kiln {

KILN_HOST_DEVICE inline void advance_step(StepState* state, const StepRates* table,
                                          std::uint64_t count) {
  if (state->halted != 0) return;
  state->step += 1;
  state->batch += 1;
  if (state->batch < count) state->rates = table[state->batch];
}

}  // namespace kiln
