// Oracle of avgpool: the mean of each window and the gradient. Double, one thread, straight from
// the definition.
#pragma once

#include "tests/reference/maxpool.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline double divisor(const Pool2dShape& s, std::int64_t p, std::int64_t q, bool count_pad) {
  double places = 0;
  each_place(s, p, q, [&](std::int64_t, std::int64_t, std::int64_t) { ++places; });
  return count_pad ? static_cast<double>(s.r * s.s) : places;
}

inline Values avgpool(const Pool2dShape& s, const Values& x, bool count_pad) {
  Values y;
  each_output(s, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t c) {
    double total = 0;
    each_place(s, p, q, [&](std::int64_t h, std::int64_t w, std::int64_t) {
      total += x[pixel(s, n, h, w, c)];
    });
    y.push_back(total / divisor(s, p, q, count_pad));
  });
  return y;
}

inline Values avgpool_grad(const Pool2dShape& s, const Values& dy, bool count_pad) {
  Values dx(static_cast<std::size_t>(s.input().element_count()), 0.0);
  std::size_t output = 0;
  each_output(s, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t c) {
    const double share = dy[output++] / divisor(s, p, q, count_pad);
    each_place(s, p, q, [&](std::int64_t h, std::int64_t w, std::int64_t) {
      dx[pixel(s, n, h, w, c)] += share;
    });
  });
  return dx;
}

}  // namespace kiln::reference
