// Lookahead: an average of the weights that they are set back to every few steps.
//
//   every `interval` steps, t of them taken:   e = a e + (1 - a) w,   w = e
//   a = decay^interval (t / T)^3;   after the last step, T, it is 1: the average is what remains
//
// It holds for everything that training changes, the running statistics too. Early on a is near 0
// and the average follows; towards the end it hardly moves. Source: docs/math.md, "Lookahead".
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/train/parameters.h"

namespace kiln {

struct LookaheadOptions {
  std::int64_t interval = 0;  // steps; 0: none
  double decay = 0.95;        // of a step at the end
};

class Lookahead {
 public:
  // On the CPU alone: throws Error (unsupported) elsewhere, and (usage) for options that cannot be.
  // `parameters` must outlive it; the averages begin as they are.
  Lookahead(const LookaheadOptions& options, const ParameterStore& parameters);

  // After step `taken` (from 1) of `total`. Says whether the values were changed: the 16-bit copies
  // that layers read of them are then old (engine/train/mixed_precision.h).
  bool after_step(Context& c, std::int64_t taken, std::int64_t total);

  // The average of the parameter, shaped and typed as its value; empty where it never changes.
  Tensor average(const Parameter& parameter) const;

 private:
  struct Average {
    const Parameter* parameter;
    Buffer home;
    Tensor value;
  };
  void blend(Context& c, double weight) const;

  LookaheadOptions options_;
  std::vector<Average> averages_;
};

}  // namespace kiln
