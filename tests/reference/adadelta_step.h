// Oracle of adadelta_step: one update of Adadelta. Double, one thread, straight from the
// definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline void adadelta(double lr, double rho, double eps, double decay, Values& w, const Values& grad,
                     Values& square_avg, Values& acc_delta) {
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double g = grad[i] + decay * w[i];
    square_avg[i] = rho * square_avg[i] + (1 - rho) * g * g;
    const double delta = std::sqrt(acc_delta[i] + eps) / std::sqrt(square_avg[i] + eps) * g;
    acc_delta[i] = rho * acc_delta[i] + (1 - rho) * delta * delta;
    w[i] -= lr * delta;
  }
}

}  // namespace kiln::reference
