// Oracle of cast: the nearest number of the other type, looked for among its neighbours. Double,
// one thread, straight from the definition.
#pragma once

#include <cmath>
#include <limits>

#include "tests/support/guards.h"

namespace kiln::reference {

// `value` to `digits` significant bits, ties to even; `smallest`: the spacing below which there is
// nothing finer, `largest`: the largest finite number.
inline double nearest(double value, int digits, double smallest, double largest) {
  if (!std::isfinite(value) || value == 0) return value;
  const double spacing = std::max(std::ldexp(1.0, std::ilogb(value) + 1 - digits), smallest);
  const double result = std::nearbyint(value / spacing) * spacing;
  const double infinity = std::numeric_limits<double>::infinity();
  return std::fabs(result) > largest ? std::copysign(infinity, value) : result;
}

inline test::Values cast(const test::Values& x, DType to) {
  test::Values y;
  for (const double value : x) {
    if (to == DType::f16)
      y.push_back(nearest(value, 11, 0x1p-24, 65504));
    else if (to == DType::bf16)
      y.push_back(nearest(value, 8, 0x1p-133, 0x1.FEp127));
    else
      y.push_back(to == DType::f32 ? static_cast<double>(static_cast<float>(value)) : value);
  }
  return y;
}

}  // namespace kiln::reference
