#include "kernels/include/step_advance.h"

#include "kernels/common/step_rule.h"

namespace kiln::cpu {

void step_advance(Context&, const StepAdvanceArgs& a) {
  advance_step(a.state, a.table, static_cast<std::uint64_t>(a.count));
}

}  // namespace kiln::cpu
