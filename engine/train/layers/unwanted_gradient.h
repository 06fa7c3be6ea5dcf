// The gradient of a weight that is not trained, where a kernel makes it beside that of the bias.
#pragma once

#include "engine/core/planner.h"
#include "engine/train/parameters.h"

namespace kiln {

// Books a slot for it; none where `parameter` is trained. Its type is that of the gradients of
// trained weights: on the CPU the type of sums, on a device the type of activations.
inline Slot unwanted_gradient(Planner& p, const Parameter& parameter) {
  if (parameter.trainable()) return {};
  const DType dtype = p.context().device().is_host() ? accumulation_type(p.dtype()) : p.dtype();
  return p.define(parameter.name + ".unwanted", parameter.shape, dtype);
}

}  // namespace kiln
