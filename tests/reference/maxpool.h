// Oracle of maxpool: the largest of each window, its place, and the gradient. Double, one thread,
// straight from the definition.
#pragma once

#include <cmath>

#include "kernels/include/pool2d_shape.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct MaxpoolResult {
  Values y, index;
};

inline std::size_t pixel(const Pool2dShape& s, std::int64_t n, std::int64_t h, std::int64_t w,
                         std::int64_t c) {
  return static_cast<std::size_t>(((n * s.h + h) * s.w + w) * s.c + c);
}

// Calls visit(n, p, q, c) for every output in memory order.
template <class Visit>
void each_output(const Pool2dShape& s, const Visit& visit) {
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t p = 0; p < s.p(); ++p)
      for (std::int64_t q = 0; q < s.q(); ++q)
        for (std::int64_t c = 0; c < s.c; ++c) visit(n, p, q, c);
}

// Calls visit(h, w, place) for every place of window (p, q) that is inside the picture.
template <class Visit>
void each_place(const Pool2dShape& s, std::int64_t p, std::int64_t q, const Visit& visit) {
  for (std::int64_t r = 0; r < s.r; ++r)
    for (std::int64_t t = 0; t < s.s; ++t) {
      const std::int64_t h = p * s.stride_h - s.pad_h + r, w = q * s.stride_w - s.pad_w + t;
      if (h >= 0 && h < s.h && w >= 0 && w < s.w) visit(h, w, r * s.s + t);
    }
}

// The first of equal elements wins, the last NaN beats everything.
inline MaxpoolResult maxpool(const Pool2dShape& s, const Values& x) {
  MaxpoolResult result;
  each_output(s, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t c) {
    bool any = false;
    double best = 0;
    std::int64_t winner = 0;
    each_place(s, p, q, [&](std::int64_t h, std::int64_t w, std::int64_t place) {
      const double value = x[pixel(s, n, h, w, c)];
      const bool wins = std::isnan(best) ? std::isnan(value) : !(value <= best);
      if (any && !wins) return;
      any = true;
      best = value;
      winner = place;
    });
    result.y.push_back(best);
    result.index.push_back(static_cast<double>(winner));
  });
  return result;
}

inline Values maxpool_grad(const Pool2dShape& s, const Values& index, const Values& dy) {
  Values dx(static_cast<std::size_t>(s.input().element_count()), 0.0);
  std::size_t output = 0;
  each_output(s, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t c) {
    each_place(s, p, q, [&](std::int64_t h, std::int64_t w, std::int64_t place) {
      if (static_cast<double>(place) == index[output]) dx[pixel(s, n, h, w, c)] += dy[output];
    });
    ++output;
  });
  return dx;
}

}  // namespace kiln::reference
