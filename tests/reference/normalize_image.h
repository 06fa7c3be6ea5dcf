// Oracle of normalize_image: bytes to normalised numbers. Double, one thread, straight from the
// definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

inline Values normalize_constant(const Values& x, const Values& mean, const Values& inv_std) {
  Values y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % mean.size();
    y.push_back((x[i] / 255 - mean[c]) * inv_std[c]);
  }
  return y;
}

inline Values normalize_per_image(const Values& x, std::size_t pictures) {
  const std::size_t count = x.size() / pictures;
  Values y;
  for (std::size_t n = 0; n < pictures; ++n) {
    double mean = 0, variance = 0;
    for (std::size_t i = 0; i < count; ++i) mean += x[n * count + i] / 255;
    mean /= static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) {
      const double difference = x[n * count + i] / 255 - mean;
      variance += difference * difference / static_cast<double>(count);
    }
    const double floor = 1 / std::sqrt(static_cast<double>(count));
    const double deviation = std::sqrt(variance) > floor ? std::sqrt(variance) : floor;
    for (std::size_t i = 0; i < count; ++i)
      y.push_back((x[n * count + i] / 255 - mean) / deviation);
  }
  return y;
}

}  // namespace kiln::reference
