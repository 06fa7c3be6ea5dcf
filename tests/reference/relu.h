// Oracle of relu: max(x, 0) and its gradient. Double, one thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values relu(const Values& x) {
  Values y;
  for (const double value : x) y.push_back(value > 0 || std::isnan(value) ? value : 0.0);
  return y;
}
// `y` is the result of the forward.
inline Values relu_grad(const Values& y, const Values& dy) {
  Values dx;
  for (std::size_t i = 0; i < y.size(); ++i) dx.push_back(y[i] > 0 ? dy[i] : 0.0);
  return dx;
}

}  // namespace kiln::reference
