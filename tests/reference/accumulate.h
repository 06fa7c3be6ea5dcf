// Oracle of accumulate: a sum in place. Double, one thread, straight from the definition.
#pragma once

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values accumulate(const Values& x, const Values& y) {
  Values sum;
  for (std::size_t i = 0; i < x.size(); ++i) sum.push_back(y[i] + x[i]);
  return sum;
}

}  // namespace kiln::reference
