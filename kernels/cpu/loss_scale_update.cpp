#include "kernels/include/loss_scale_update.h"

#include "kernels/common/loss_scale_rule.h"

namespace kiln::cpu {

void loss_scale_update(Context&, const LossScaleUpdateArgs& a) {
  apply_loss_scale_rule(a.state.data<float>(), static_cast<float>(a.growth_interval));
}

}  // namespace kiln::cpu
