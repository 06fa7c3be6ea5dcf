#include "engine/train/mixed_precision.h"

#include "engine/core/transfer.h"
#include "kernels/include/cast.h"
#include "kernels/include/loss_scale_update.h"

namespace kiln {

void refresh_copies(Context& c, const ParameterStore& parameters) {
  for (const ParameterSpan& span : parameters.spans())
    if (!span.copies.empty()) cast(c, {.x = span.values, .y = span.copies});
  for (const Parameter& p : parameters.all())
    if (parameters.read_narrow(p) && !p.trainable()) cast(c, {.x = p.value, .y = p.working});
}

LossScaling loss_scaling(const ParameterStore& parameters) {
  if (parameters.loss_scale().empty()) return {};
  const std::vector<float> state = elements_of<float>(parameters.loss_scale());
  return {.scale = static_cast<double>(state[kLossScale]),
          .good_steps = static_cast<std::int64_t>(state[kGoodSteps]),
          .skipped_steps = static_cast<std::int64_t>(state[kSkippedSteps])};
}

void set_loss_scaling(const ParameterStore& parameters, const LossScaling& scaling) {
  const float state[kLossScaleSize] = {static_cast<float>(scaling.scale),
                                       static_cast<float>(scaling.good_steps), 0,
                                       static_cast<float>(scaling.skipped_steps)};
  set_elements<float>(parameters.loss_scale(), state);
}

}  // namespace kiln
