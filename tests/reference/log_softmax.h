// Oracle of log_softmax: log-softmax and its gradient. Double, one thread, straight from the
// definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values log_softmax(const Values& x, std::size_t classes) {
  Values y;
  for (std::size_t begin = 0; begin < x.size(); begin += classes) {
    double largest = x[begin], total = 0;
    for (std::size_t k = 0; k < classes; ++k)
      if (!(x[begin + k] <= largest)) largest = x[begin + k];
    for (std::size_t k = 0; k < classes; ++k) total += std::exp(x[begin + k] - largest);
    for (std::size_t k = 0; k < classes; ++k) y.push_back(x[begin + k] - largest - std::log(total));
  }
  return y;
}

inline Values log_softmax_grad(const Values& y, const Values& dy, std::size_t classes) {
  Values dx;
  for (std::size_t i = 0; i < y.size(); ++i) {
    double total = 0;
    for (std::size_t k = 0; k < classes; ++k) total += dy[i / classes * classes + k];
    dx.push_back(dy[i] - std::exp(y[i]) * total);
  }
  return dx;
}

}  // namespace kiln::reference
