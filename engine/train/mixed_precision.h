// Training with 16-bit storage: the weights that layers read are copies of f32 weights.
#pragma once

#include "engine/core/context.h"
#include "engine/train/parameters.h"

namespace kiln {

// Makes the copies anew, after the f32 weights were initialised or read from a file; nothing to do
// where there are none. The optimizer keeps them up to date itself.
void refresh_copies(Context& c, const ParameterStore& parameters);

// Where loss scaling stands, fetched from the device.
struct LossScaling {
  double scale = 1;
  std::int64_t good_steps = 0, skipped_steps = 0;
};
LossScaling loss_scaling(const ParameterStore& parameters);
void set_loss_scaling(const ParameterStore& parameters, const LossScaling& scaling);

}  // namespace kiln
