// One call that holds an op to its contract on every setting.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/devices.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {

// What an op wrote, in a fixed order.
using Results = std::vector<OwnedTensor>;

struct Tolerance {
  double f32, f64;
  // Relative to each element instead of the largest one (magnitudes below 1e-30 count as 1e-30).
  bool elementwise = false;
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

inline void expect_wanted(const Results& results, const std::vector<Values>& wanted,
                          double tolerance, bool elementwise, const std::string& what) {
  ASSERT_EQ(results.size(), wanted.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    EXPECT_TRUE(elementwise ? elementwise_close_to(results[i], wanted[i], tolerance)
                            : close_to(results[i], wanted[i], tolerance))
        << what << ", result " << i;
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

// Sizes of elementwise ops: one element, below, at and beyond each vector length, and enough for
// every thread to get a share.
inline std::vector<Shape> elementwise_shapes() {
  return {{1}, {3}, {7}, {16}, {17}, {5, 33}, {2, 31, 31, 10}, {100003}};
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
