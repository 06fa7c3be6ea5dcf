// Running means of the optimizers, in f32, become zero where they would be subnormal
// (below 1.2e-38).
//
// Where the gradient stays away, as for the weights of a dead unit, a momentum shrinks by a
// constant factor each step and comes to a stand a few units above zero, where 0.9 m rounds to m. A
// multiplication of subnormal numbers takes an x86 core more than a hundred cycles, in every step
// from then on: docs/decisions.md, "No momentum among the subnormal numbers". f64 is left alone.
#pragma once

#include "engine/core/rng.h"

namespace kiln {

KILN_HOST_DEVICE constexpr float normal_or_zero(float mean) {
  return mean < 0x1p-126f && mean > -0x1p-126f ? 0.0f : mean;  // NaN stays
}
KILN_HOST_DEVICE constexpr double normal_or_zero(double mean) { return mean; }

}  // namespace kiln
