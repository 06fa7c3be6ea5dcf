#include "kernels/include/dropout.h"

#include "kernels/cpu/dropout_apply.h"

namespace kiln {

void check(const DropoutArgs& a) {
  require_dropout("dropout", a.x, a.p, a.channel, a.step, a.layer_id);
  require_no_host_state("dropout", a.x, a.state);
  require_alike("dropout", {"x", a.x}, {{"y", a.y}});
}

namespace cpu {

void dropout(Context& c, const DropoutArgs& a) {
  apply_dropout(c, {.from = a.x,
                    .to = a.y,
                    .mask = make_dropout_mask(a.p, a.seed, a.epoch, a.step, a.layer_id),
                    .channel = a.channel,
                    .add = false});
}

}  // namespace cpu
}  // namespace kiln
