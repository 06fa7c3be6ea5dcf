#include "kernels/include/linear.h"

#include <gtest/gtest.h>

#include "tests/kernels/linear_cases.h"
#include "tests/reference/linear.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

class LinearTest : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearTest, EqualsTheOracleWithAnyThreadCountToTheBit) {
  const auto [n, i, o] = GetParam();
  for (const DType dtype : storage_types())
    for (const bool has_bias : {false, true}) {
      const Activation activation = has_bias ? Activation::relu : Activation::none;
      const OwnedTensor x = random_tensor({n, i}, dtype, 1), w = random_tensor({o, i}, dtype, 2);
      const OwnedTensor bias = random_tensor({o}, parameter_type(dtype), 3);
      const Values wanted = reference::linear(n, i, o, x.values(), w.values(),
                                              has_bias ? bias.values() : Values{}, activation);
      OwnedTensor first({n, o}, dtype);
      for (const int threads : kThreadCounts) {
        if (is_16_bit(dtype) && threads > 2) continue;  // the second is the repetition
        TestContext c(threads);
        const Scratch scratch(linear_scratch_bytes(c, n, i, o, dtype));
        const OwnedTensor y({n, o}, dtype);
        linear(c, {x, w, has_bias ? bias.view() : Tensor{}, y, activation, scratch.data()});
        EXPECT_TRUE(close_to(y, wanted, stored_tolerance(dtype, 2e-6, 1e-14)));
        EXPECT_TRUE(scratch.guards_intact());
        if (threads == 1) first.assign(y.values());
        EXPECT_TRUE(bitwise_equal(first, y));
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearTest, testing::ValuesIn(linear_cases()));

TEST(Linear, ReluKeepsNan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::int64_t rows : {1, 40}) {
    OwnedTensor x = random_tensor({rows, 20}, DType::f32, 1);
    const OwnedTensor w = random_tensor({3, 20}, DType::f32, 2), y({rows, 3}, DType::f32);
    x.set(0, nan);
    TestContext c;
    const Scratch scratch(linear_scratch_bytes(c, rows, 20, 3, DType::f32));
    linear(c, {x, w, {}, y, Activation::relu, scratch.data()});
    for (int o = 0; o < 3; ++o) EXPECT_TRUE(std::isnan(y.at(o)));
  }
}

TEST(Linear, RefusesTensorsThatDoNotFit) {
  const OwnedTensor x({2, 3}, DType::f32), w({4, 3}, DType::f32), y({2, 4}, DType::f32);
  const OwnedTensor wrong({3, 4}, DType::f32), bytes({2, 3}, DType::u8);
  EXPECT_NO_THROW(check(LinearArgs{x, w, {}, y}));
  EXPECT_THROW(check(LinearArgs{x, wrong, {}, y}), std::exception);
  EXPECT_THROW(check(LinearArgs{x, w, y, y}), std::exception);
  EXPECT_THROW(check(LinearArgs{x, w, {}, {}}), std::exception);
  EXPECT_THROW(check(LinearArgs{bytes, w, {}, y}), Error);
}

}  // namespace
}  // namespace kiln::test
