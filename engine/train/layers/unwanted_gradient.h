// The gradient of a parameter that is not trained, where a kernel makes it beside that of another.
#pragma once

#include "engine/core/planner.h"
#include "engine/train/parameters.h"

namespace kiln {

// Books a slot of `dtype` for it; none where `parameter` is trained.
inline Slot unwanted_gradient(Planner& p, const Parameter& parameter, DType dtype) {
  if (parameter.trainable()) return {};
  return p.define(parameter.name + ".unwanted", parameter.shape, dtype);
}
// Of a weight of a convolution or of a linear layer: on the CPU of the type of sums, on a device of
// that of activations.
inline Slot unwanted_gradient(Planner& p, const Parameter& weight) {
  return unwanted_gradient(
      p, weight, p.context().device().is_host() ? accumulation_type(p.dtype()) : p.dtype());
}

// Where the gradient of `parameter` goes: its own, or the slot that unwanted_gradient has booked.
inline Tensor gradient_of(const Parameter& parameter, const Memory& m, Slot unwanted) {
  return unwanted ? m[unwanted] : parameter.gradient;
}

}  // namespace kiln
