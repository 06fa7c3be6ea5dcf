// How far a result is from the oracle's. NaN and infinities are strict: NaN is close to NaN only,
// an infinity only to itself.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <sstream>

#include "tests/support/guards.h"

namespace kiln::test {

struct Difference {
  double error = 0;  // infinite where one side is not finite and the other differs
  std::size_t at = 0;
  double got = 0, wanted = 0;
};

// |got - wanted| / unit, strict as above.
inline double scaled_error(double got, double wanted, double unit) {
  if (std::isnan(got) || std::isnan(wanted))
    return std::isnan(got) && std::isnan(wanted) ? 0 : std::numeric_limits<double>::infinity();
  if (std::isinf(got) || std::isinf(wanted))
    return got == wanted ? 0 : std::numeric_limits<double>::infinity();
  return got == wanted ? 0 : std::fabs(got - wanted) / unit;
}

inline double largest_magnitude(const Values& values) {
  double largest = 0;
  for (const double value : values)
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  return largest;
}

template <class Unit>
Difference worst_difference(const Values& got, const Values& wanted, const Unit& unit) {
  Difference worst;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = scaled_error(got[i], wanted[i], unit(i));
    if (error > worst.error) worst = {error, i, got[i], wanted[i]};
  }
  return worst;
}

// Largest error relative to the largest wanted magnitude (below `floor` it counts as `floor`): for
// sums, whose small results come from cancellation.
inline Difference max_relative_error(const Values& got, const Values& wanted, double floor) {
  const double unit = std::max(largest_magnitude(wanted), floor);
  return worst_difference(got, wanted, [unit](std::size_t) { return unit; });
}

// Largest error relative to each wanted element (magnitudes below `floor` count as `floor`): for
// elementwise functions.
inline Difference max_elementwise_error(const Values& got, const Values& wanted, double floor) {
  return worst_difference(got, wanted,
                          [&](std::size_t i) { return std::max(std::fabs(wanted[i]), floor); });
}

inline testing::AssertionResult verdict(const Difference& worst, std::size_t got_count,
                                        std::size_t wanted_count, double tolerance) {
  if (got_count != wanted_count)
    return testing::AssertionFailure() << got_count << " elements instead of " << wanted_count;
  if (worst.error <= tolerance) return testing::AssertionSuccess();
  std::ostringstream line;
  line.precision(17);
  line << "element " << worst.at << " is " << worst.got << " instead of " << worst.wanted
       << ": relative error " << worst.error << " above " << tolerance;
  return testing::AssertionFailure() << line.str();
}

inline testing::AssertionResult close_to(const Values& got, const Values& wanted, double tolerance,
                                         double floor = std::numeric_limits<double>::min()) {
  if (got.size() != wanted.size()) return verdict({}, got.size(), wanted.size(), tolerance);
  return verdict(max_relative_error(got, wanted, floor), got.size(), wanted.size(), tolerance);
}
inline testing::AssertionResult close_to(const OwnedTensor& got, const Values& wanted,
                                         double tolerance,
                                         double floor = std::numeric_limits<double>::min()) {
  if (!got.guards_intact())
    return testing::AssertionFailure() << "memory beside the tensor was written";
  return close_to(got.values(), wanted, tolerance, floor);
}
inline testing::AssertionResult elementwise_close_to(const OwnedTensor& got, const Values& wanted,
                                                     double tolerance, double floor = 1e-30) {
  if (!got.guards_intact())
    return testing::AssertionFailure() << "memory beside the tensor was written";
  const Values values = got.values();
  if (values.size() != wanted.size()) return verdict({}, values.size(), wanted.size(), tolerance);
  return verdict(max_elementwise_error(values, wanted, floor), values.size(), wanted.size(),
                 tolerance);
}

inline std::vector<std::byte> host_bytes(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.size_bytes());
  copy_to_host(tensor.device(), bytes.data(), tensor.raw(), bytes.size());
  return bytes;
}

// Every bit alike, NaN payloads included.
inline testing::AssertionResult bitwise_equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype())
    return testing::AssertionFailure() << "shapes or types differ";
  const std::vector<std::byte> left = host_bytes(a), right = host_bytes(b);
  for (std::size_t i = 0; i < a.size_bytes(); ++i)
    if (left[i] != right[i])
      return testing::AssertionFailure() << "element " << i / size_of(a.dtype()) << " differs";
  return testing::AssertionSuccess();
}

// Steps between neighbouring numbers; the largest value where one is NaN and the other is not.
template <class T>
std::int64_t ulp_distance(T a, T b) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  if (std::isnan(a) || std::isnan(b))
    return std::isnan(a) && std::isnan(b) ? 0 : std::numeric_limits<std::int64_t>::max();
  const auto place = [](T value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? std::numeric_limits<Bits>::min() - static_cast<std::int64_t>(bits)
                    : static_cast<std::int64_t>(bits);
  };
  const std::int64_t x = place(a), y = place(b);
  return x > y ? x - y : y - x;
}

// The largest over the elements of two tensors of one shape, whose type is T.
template <class T>
std::int64_t worst_ulp_distance(const Tensor& a, const Tensor& b) {
  KILN_CHECK(a.shape() == b.shape());
  const std::vector<T> left = elements_of<T>(a), right = elements_of<T>(b);
  std::int64_t worst = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    worst = std::max(worst, ulp_distance(left[i], right[i]));
  return worst;
}

}  // namespace kiln::test
