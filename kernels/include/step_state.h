// StepState: where training stands, in a device's memory, so that a step whose work is queued again
// and again with the same arguments still goes on: ops read from it the numbers that change from
// step to step. It is written at the start of an epoch by the host, and in a step by record_loss
// (`halted`) and at its end by step_advance (all else).
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/core/rng.h"

namespace kiln {

// Groups of parameters with rates of their own.
inline constexpr int kMostGroups = 8;
// Which rate an op takes: that of a group, or the base rate.
inline constexpr int kBaseRate = -1;

// What the schedule and the optimizer want in one step. Computed on the host in double, so that
// every device gets the same bits.
struct StepRates {
  double learning_rate = 0;
  double adam_scale = 0;  // lr / (1 - beta1^t), t counting this step from 1
  double adam_root = 1;   // sqrt(1 - beta2^t)
  double group_rates[kMostGroups] = {};
};

KILN_HOST_DEVICE inline double rate_of(const StepRates& rates, int which) {
  return which == kBaseRate ? rates.learning_rate : rates.group_rates[which];
}

inline StepRates step_rates(double learning_rate, double beta1, double beta2, std::int64_t t) {
  return {.learning_rate = learning_rate,
          .adam_scale = learning_rate / (1 - std::pow(beta1, static_cast<double>(t))),
          .adam_root = std::sqrt(1 - std::pow(beta2, static_cast<double>(t)))};
}

struct StepState {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;   // optimizer steps since the start of training
  std::uint64_t batch = 0;  // of the epoch
  std::uint32_t epoch = 0;
  std::uint32_t halted = 0;  // 1: a loss was not finite, and nothing moves on from that step
  StepRates rates;
};

}  // namespace kiln
