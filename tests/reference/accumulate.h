// Oracle of accumulate: a sum in place. Double, one thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values accumulate(const Values& x, const Values& y) {
  Values sum;
  for (std::size_t i = 0; i < x.size(); ++i) sum.push_back(y[i] + x[i]);
  return sum;
}

// x is first rounded to whole multiples of `grid`.
inline Values accumulate_on_grid(const Values& x, const Values& y, double grid) {
  Values sum;
  for (std::size_t i = 0; i < x.size(); ++i)
    sum.push_back(y[i] + std::nearbyint(x[i] / grid) * grid);
  return sum;
}

}  // namespace kiln::reference
