// step_advance: the end of a step whose numbers lie in device memory.
//
//   step = step + 1,   batch = batch + 1,   rates = table[batch]      where that is one of the
//   table
//
// A halted state is left alone, so that the next run of the step repeats it.
//
// Shapes    table: the rates of an epoch's steps, `count` >= 1. An epoch's last step has no next
//           rates: the host writes the state anew before the next epoch.
// Source    docs/math.md, "Schedules".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct StepAdvanceArgs {
  StepState* state = nullptr;  // in the device's memory, as `table`
  const StepRates* table = nullptr;
  std::int64_t count = 0;
};

inline void check(const StepAdvanceArgs& a) {
  require(a.state != nullptr && a.table != nullptr && a.count >= 1, "step_advance",
          "needs a state and a table of rates");
}

namespace cpu {
void step_advance(Context&, const StepAdvanceArgs&);
}

inline void step_advance(Context& c, const StepAdvanceArgs& a) {
  check(a);
  on_device(c, Op::step_advance, a, cpu::step_advance);
}

}  // namespace kiln
