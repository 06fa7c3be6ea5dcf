// Gradients against finite differences, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/core/rng.h"
#include "tests/support/guards.h"

namespace kiln::test {

// A function of many numbers with one result, such as sum_i weight_i y_i(x).
using Functional = std::function<double(const Values& x)>;

struct GradCheckOptions {
  // Step of the four-point central difference
  //   f'(x) ~ (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h,
  // whose error is h^4 f^(5) / 30 + 2e-16 f / h: both near 1e-13 for smooth f of size 1. Kinks must
  // be more than 2h away.
  double step = 1e-3;
  std::size_t exhaustive_limit = 400;  // above it, random directions instead of every element
  int direction_count = 24;
  std::uint64_t seed = 1;
};

inline double slope_along(const Functional& f, const Values& x, const Values& direction,
                          double step) {
  const auto at = [&](double distance) {
    Values moved = x;
    for (std::size_t i = 0; i < x.size(); ++i) moved[i] += distance * direction[i];
    return f(moved);
  };
  return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
}

// The largest |difference quotient - claimed| relative to the largest |claimed|: element by element
// where x is small, else along random directions of +-1, relative to the claimed gradient's norm.
inline double gradient_error(const Functional& f, const Values& x, const Values& claimed,
                             const GradCheckOptions& options = {}) {
  if (x.size() != claimed.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, unit = 0;
  // NaN is no small error: it counts as infinite.
  const auto note = [&](double difference) {
    worst = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                   : std::max(worst, std::fabs(difference));
  };
  if (x.size() <= options.exhaustive_limit) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      Values direction(x.size(), 0.0);
      direction[i] = 1;
      const double slope = slope_along(f, x, direction, options.step);
      note(slope - claimed[i]);
      unit = std::max({unit, std::fabs(claimed[i]), std::fabs(slope)});
    }
    return std::isinf(worst) ? worst : worst / std::max(unit, 1e-30);
  }
  for (const double g : claimed) unit += g * g;
  for (int k = 0; k < options.direction_count; ++k) {
    RandomSequence sequence(options.seed, RandomStream::synthesise, static_cast<std::uint32_t>(k));
    Values direction(x.size());
    double expected = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      direction[i] = sequence.next_u32() % 2 == 0 ? 1 : -1;
      expected += direction[i] * claimed[i];
    }
    note(slope_along(f, x, direction, options.step) - expected);
  }
  return std::isinf(worst) ? worst : worst / std::max(std::sqrt(unit), 1e-30);
}

// sum_i a_i b_i: turns an op with many results into a Functional.
inline double dot(const Values& a, const Values& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

}  // namespace kiln::test
