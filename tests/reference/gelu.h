// Oracle of gelu: x Phi(x) and its gradient. Double, one thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values gelu(const Values& x) {
  Values y;
  for (const double value : x) y.push_back(value * std::erfc(-value / std::sqrt(2.0)) / 2);
  return y;
}
// d/dx x Phi(x) = Phi(x) + x Phi'(x)
inline Values gelu_grad(const Values& x, const Values& dy) {
  const double pi = std::acos(-1.0);
  Values dx;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double cdf = std::erfc(-x[i] / std::sqrt(2.0)) / 2;
    const double pdf = std::exp(-x[i] * x[i] / 2) / std::sqrt(2 * pi);
    dx.push_back(dy[i] * (cdf + x[i] * pdf));
  }
  return dx;
}

}  // namespace kiln::reference
