// Oracle of sgd_step: one update of SGD. Double, one thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct SgdSettings {
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false, first_step = false;
};

inline void sgd(const SgdSettings& s, Values& w, const Values& grad, Values& buffer) {
  for (std::size_t i = 0; i < w.size(); ++i) {
    double direction = grad[i] + s.weight_decay * w[i];
    if (s.momentum != 0) {
      buffer[i] = s.first_step ? direction : s.momentum * buffer[i] + (1 - s.dampening) * direction;
      direction = s.nesterov ? direction + s.momentum * buffer[i] : buffer[i];
    }
    w[i] -= s.lr * direction;
  }
}

}  // namespace kiln::reference
