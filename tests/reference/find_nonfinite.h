// Oracle of find_nonfinite. One thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

inline double find_nonfinite(const test::Values& x, double flag) {
  for (const double value : x)
    if (std::isnan(value) || std::isinf(value)) flag = 1;
  return flag;
}

}  // namespace kiln::reference
