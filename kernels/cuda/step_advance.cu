// step_advance on a GPU: one thread, 80 bytes; its time is that of a launch.
#include "kernels/common/step_rule.h"
#include "kernels/cuda/gpu.h"
#include "kernels/include/step_advance.h"

namespace kiln::cuda {
namespace {

struct Advance {
  StepState* state;
  const StepRates* table;
  std::uint64_t count;
  __device__ void operator()(std::int64_t) const { advance_step(state, table, count); }
};

}  // namespace

void step_advance(Context& c, const StepAdvanceArgs& a) {
  map(c, "step_advance", 1, Advance{a.state, a.table, static_cast<std::uint64_t>(a.count)});
}

}  // namespace kiln::cuda
