// One call that holds an op to its contract on every setting.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/devices.h"
#include "tests/support/random_tensor.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {

// What an op wrote, in a fixed order.
using Results = std::vector<OwnedTensor>;

struct Tolerance {
  double f32, f64;
  // Relative to each element instead of the largest one (magnitudes below 1e-30 count as 1e-30).
  bool elementwise = false;
  double f32_of_16_bits = 0;  // of the f32 steps behind a 16-bit result; 0: `f32`
};

inline Results results_of(OwnedTensor&& only) {
  Results results;
  results.push_back(std::move(only));
  return results;
}

inline void expect_bitwise_equal(const Results& a, const Results& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(bitwise_equal(a[i], b[i])) << what << ", result " << i;
}

// What a number becomes in a tensor of this type.
inline Values rounded(const Values& values, DType dtype) {
  const Shape flat{static_cast<std::int64_t>(values.size())};
  return OwnedTensor(flat, dtype, Device{}, values).values();
}

inline Values plus(Values sum, const Values& other) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
  return sum;
}

// The 16-bit storage types of the device under test.
inline std::vector<DType> types_of_16_bits() {
  if (test_device().is_host()) return {DType::bf16};
  return {DType::f16, DType::bf16};
}

// All types to store in.
inline std::vector<DType> storage_types() {
  std::vector<DType> types{DType::f32, DType::f64};
  for (const DType dtype : types_of_16_bits()) types.push_back(dtype);
  return types;
}

// Half a unit in the last place of a normal number near 1: the relative error of one rounding.
inline double rounding_error(DType dtype) { return dtype == DType::f16 ? 0x1p-11 : 0x1p-8; }

inline void expect_one(const OwnedTensor& got, const Values& wanted, double tolerance,
                       bool elementwise, double floor, const std::string& what) {
  EXPECT_TRUE(elementwise ? elementwise_close_to(got, wanted, tolerance, floor)
                          : close_to(got, wanted, tolerance, floor))
      << what;
}

inline void expect_wanted(const Results& results, const std::vector<Values>& wanted,
                          double tolerance, bool elementwise, const std::string& what) {
  ASSERT_EQ(results.size(), wanted.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    expect_one(results[i], wanted[i], tolerance, elementwise, 1e-30,
               what + ", result " + std::to_string(i));
}

// run(Context&, DType) -> Results, from the same inputs every time.
//   f32 and f64, 1 to 3 threads, with and without determinism: `wanted` within the tolerance
//   a second run: the same bits
//   deterministic: the same bits for every thread count
template <class Run>
void check_op(const Run& run, const std::vector<Values>& wanted, Tolerance tolerance) {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const bool deterministic : {false, true}) {
      Results first;
      for (const int threads : kThreadCounts) {
        const std::string what = std::string(name_of(dtype)) + ", " + std::to_string(threads) +
                                 " threads" + (deterministic ? ", deterministic" : "");
        TestContext context(threads, deterministic);
        Results results = run(context.get(), dtype);
        expect_wanted(results, wanted, dtype == DType::f32 ? tolerance.f32 : tolerance.f64,
                      tolerance.elementwise, what);
        expect_bitwise_equal(results, run(context.get(), dtype), what + ", run again");
        if (threads == 1)
          first = std::move(results);
        else if (deterministic)
          expect_bitwise_equal(results, first, what + ", against one thread");
        if (::testing::Test::HasFailure()) return;
      }
    }
}

// One 16-bit result. Sums run in f32 and are rounded once, so the bound is that of f32 and one
// rounding more. Below the smallest normal number the rounding is absolute, beyond the largest one
// it gives infinity.
inline void expect_stored(const OwnedTensor& got, Values wanted, Tolerance tolerance,
                          const std::string& what) {
  const DType dtype = got.dtype();
  if (!is_16_bit(dtype)) {
    expect_one(got, wanted, tolerance.f32, tolerance.elementwise, 1e-30, what);
    return;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  const Values nearest = rounded(wanted, dtype);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (std::fabs(nearest[i]) == infinity) wanted[i] = nearest[i];
  const double steps = tolerance.f32_of_16_bits != 0 ? tolerance.f32_of_16_bits : tolerance.f32;
  expect_one(got, wanted, steps + rounding_error(dtype), tolerance.elementwise,
             dtype == DType::f16 ? 0x1p-14 : 1e-30, what);
}

// As check_op, with `wanted(DType)` from inputs rounded to that type; also in the 16-bit types of
// the device: `wanted` within the bound above, and a second run has the same bits, on the CPU with
// three threads under determinism.
template <class Run, class Wanted>
void check_op_in_all_types(const Run& run, const Wanted& wanted, Tolerance tolerance) {
  check_op(run, wanted(DType::f32), tolerance);
  for (const DType dtype : types_of_16_bits()) {
    const std::string what(name_of(dtype));
    const bool host = test_device().is_host();
    TestContext context(1, host), other(host ? 3 : 1, host);
    const Results results = run(context.get(), dtype);
    const std::vector<Values> all = wanted(dtype);
    ASSERT_EQ(results.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
      expect_stored(results[i], all[i], tolerance, what + ", result " + std::to_string(i));
    expect_bitwise_equal(results, run(other.get(), dtype), what + ", run again");
  }
}

// Sizes of elementwise ops: one element, below, at and beyond each vector length, and enough for
// every thread to get a share.
inline std::vector<Shape> elementwise_shapes() {
  const std::int64_t many = kWithSanitizer ? 20011 : 100003;
  return {{1}, {3}, {7}, {16}, {17}, {5, 33}, {2, 31, 31, 10}, {many}};
}

// `values` with NaN, infinities, zeros of both signs, huge and tiny numbers in some places.
inline Values with_special_values(Values values) {
  const double inf = std::numeric_limits<double>::infinity();
  const double specials[] = {
      std::numeric_limits<double>::quiet_NaN(), inf, -inf, 0.0, -0.0, 0x1p100, -0x1p100, 0x1p-100};
  std::size_t k = 0;
  for (std::size_t i = 0; i < values.size(); i += 3) values[i] = specials[k++ % 8];
  return values;
}

}  // namespace kiln::test
