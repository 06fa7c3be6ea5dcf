#include "kernels/include/accumulate.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "tests/reference/accumulate.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

TEST(Accumulate, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Values x = with_special_values(random_tensor(shape, DType::f32, 1).values());
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor in(shape, dtype, x);
      OwnedTensor y = random_tensor(shape, dtype, 2);
      accumulate(c, {.x = in, .y = y});
      return results_of(std::move(y));
    };
    // One rounded addition, relative to the result.
    const auto wanted = [&](DType dtype) {
      return std::vector<Values>{
          reference::accumulate(rounded(x, dtype), random_tensor(shape, dtype, 2).values())};
    };
    check_op_in_all_types(run, wanted, {6e-8, 1.2e-16, true});
  }
}

// On a grid the sum of seven tensors has the same bits in every order.
TEST(Accumulate, AddsExactlyOnAGrid) {
  if (!test_device().is_host()) GTEST_SKIP() << "a grid is for the CPU only";
  constexpr double kGrid = 0x1p-42;
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    for (const int threads : {1, 3}) {
      TestContext c(threads);
      OwnedTensor up(shape, DType::f64, Device{}), down(shape, DType::f64, Device{});
      Values wanted(static_cast<std::size_t>(shape.element_count()), 0.0);
      for (auto* y : {&up, &down}) std::ranges::fill(y->view().elements<double>(), 0.0);
      const auto summand = [&](std::uint64_t i) {
        Values x = random_tensor(shape, DType::f32, i + 1).values();
        for (double& value : x) value = std::ldexp(value, -6 * static_cast<int>(i));
        return OwnedTensor(shape, DType::f32, Device{}, x);
      };
      for (std::uint64_t i = 0; i < 7; ++i) {
        const OwnedTensor x = summand(i), last = summand(6 - i);
        accumulate(c, {.x = x, .y = up, .grid = kGrid});
        accumulate(c, {.x = last, .y = down, .grid = kGrid});
        wanted = reference::accumulate_on_grid(x.values(), wanted, kGrid);
      }
      EXPECT_EQ(up.values(), wanted);
      EXPECT_EQ(down.values(), wanted);
    }
  }
}

TEST(Accumulate, KeepsWhatNoGridHolds) {
  if (!test_device().is_host()) GTEST_SKIP() << "a grid is for the CPU only";
  TestContext c;
  const double large = 512.0, infinite = std::numeric_limits<double>::infinity();
  const OwnedTensor x({5}, DType::f32, Device{},
                      {large, -large, infinite, std::nan(""), 0x1p-43 + 0x1p-50});
  OwnedTensor y({5}, DType::f64, Device{}, {0x1p-43, 0, 0, 0, 0});
  accumulate(c, {.x = x, .y = y, .grid = 0x1p-42});
  const Values sum = y.values();
  EXPECT_EQ(sum[0], 512 + 0x1p-43);
  EXPECT_EQ(sum[1], -512);
  EXPECT_EQ(sum[2], infinite);
  EXPECT_TRUE(std::isnan(sum[3]));
  EXPECT_EQ(sum[4], 0x1p-42);
}

TEST(Accumulate, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor narrow({4}, DType::f32, Device{}), wide({4}, DType::f64, Device{});
  EXPECT_THROW(accumulate(c, {.x = narrow, .y = wide}), Error);
  EXPECT_THROW(accumulate(c, {.x = narrow, .y = narrow, .grid = 1.0}), Error);
  EXPECT_THROW(accumulate(c, {.x = wide, .y = wide, .grid = 1.0}), Error);
  const OwnedTensor x({4}, DType::f32), y({2, 2}, DType::f32);
  EXPECT_THROW(accumulate(c, {.x = x, .y = y}), Error);
}

}  // namespace
}  // namespace kiln::test
