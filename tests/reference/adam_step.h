// Oracle of adam_step: one update of Adam or AdamW. Double, one thread, straight from the
// definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct AdamSettings {
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  bool decoupled = false;
  int step = 1;
};

inline void adam(const AdamSettings& s, Values& w, const Values& grad, Values& exp_avg,
                 Values& exp_avg_sq) {
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double g = s.decoupled ? grad[i] : grad[i] + s.weight_decay * w[i];
    if (s.decoupled) w[i] -= s.lr * s.weight_decay * w[i];
    exp_avg[i] = s.beta1 * exp_avg[i] + (1 - s.beta1) * g;
    exp_avg_sq[i] = s.beta2 * exp_avg_sq[i] + (1 - s.beta2) * g * g;
    const double first = exp_avg[i] / (1 - std::pow(s.beta1, s.step));
    const double second = exp_avg_sq[i] / (1 - std::pow(s.beta2, s.step));
    w[i] -= s.lr * first / (std::sqrt(second) + s.eps);
  }
}

}  // namespace kiln::reference
