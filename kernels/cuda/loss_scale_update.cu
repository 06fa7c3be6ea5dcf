// loss_scale_update on a GPU: one thread, 32 bytes; its time is that of a launch.
#include "kernels/common/loss_scale_rule.h"
#include "kernels/cuda/gpu.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln::cuda {
namespace {

struct Update {
  float* state;
  float growth_interval;
  __device__ void operator()(std::int64_t) const { apply_loss_scale_rule(state, growth_interval); }
};

}  // namespace

void loss_scale_update(Context& c, const LossScaleUpdateArgs& a) {
  map(c, "loss_scale_update", 1,
      Update{a.state.data<float>(), static_cast<float>(a.growth_interval)});
}

}  // namespace kiln::cuda
