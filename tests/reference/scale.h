// Oracle of scale: factor x, which is added to `before` where there is one. Double, one thread.
#pragma once

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values scale(const Values& x, double factor, const Values& before = {}) {
  Values y;
  for (std::size_t i = 0; i < x.size(); ++i)
    y.push_back(factor * x[i] + (before.empty() ? 0.0 : before.at(i)));
  return y;
}

}  // namespace kiln::reference
