#include "kernels/include/dropout_grad.h"

#include "kernels/cpu/dropout_apply.h"

namespace kiln {

void check(const DropoutGradArgs& a) {
  require_dropout("dropout_grad", a.dy, a.p, a.channel, a.step, a.layer_id);
  require_no_host_state("dropout_grad", a.dy, a.state);
  if (a.mode != GradWrite::skip) require_alike("dropout_grad", {"dy", a.dy}, {{"dx", a.dx}});
}

namespace cpu {

void dropout_grad(Context& c, const DropoutGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  apply_dropout(c, {.from = a.dy,
                    .to = a.dx,
                    .mask = make_dropout_mask(a.p, a.seed, a.epoch, a.step, a.layer_id),
                    .channel = a.channel,
                    .add = a.mode == GradWrite::accumulate});
}

}  // namespace cpu
}  // namespace kiln
