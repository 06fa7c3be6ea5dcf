// Oracle of softmax_xent: cross-entropy, its gradient and the hits. Double, one thread, straight
// from the definition.
#pragma once

#include <cmath>

#include "tests/reference/log_softmax.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct XentResult {
  Values loss, hit, dz;
};

inline XentResult softmax_xent(const Values& z, const Values& t, std::size_t classes,
                               double smoothing, double scale) {
  const Values log_p = log_softmax(z, classes);
  XentResult result;
  for (std::size_t n = 0; n < t.size(); ++n) {
    double loss = 0;
    std::size_t best = 0;
    bool any_nan = false;
    for (std::size_t k = 0; k < classes; ++k) {
      const double q = smoothing / static_cast<double>(classes) +
                       (static_cast<double>(k) == t[n] ? 1 - smoothing : 0.0);
      if (q != 0) loss -= q * log_p[n * classes + k];
      result.dz.push_back(scale * (std::exp(log_p[n * classes + k]) - q));
      if (z[n * classes + k] > z[n * classes + best]) best = k;
      any_nan = any_nan || std::isnan(z[n * classes + k]);
    }
    result.loss.push_back(loss);
    result.hit.push_back(!any_nan && static_cast<double>(best) == t[n] ? 1 : 0);
  }
  return result;
}

}  // namespace kiln::reference
