// The checkers themselves: each must fail on a fixture that is wrong.
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/devices.h"
#include "tests/support/grad_check.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(OwnedTensor, StartsAsNanAndSeesWritesBesideIt) {
  OwnedTensor tensor({3}, DType::f32);
  for (const double value : tensor.values()) EXPECT_TRUE(std::isnan(value));
  EXPECT_TRUE(tensor.guards_intact());
  const Tensor view = tensor.view();
  // Inside the buffer, behind the last element.
  fill_bytes(view.device(), view.data<float>() + 3, 1, 1);
  EXPECT_FALSE(tensor.guards_intact());
  EXPECT_FALSE(close_to(tensor, tensor.values(), 1));
}

TEST(CloseTo, IsStrictAboutNanAndInfinity) {
  EXPECT_TRUE(close_to(Values{1, kNan, kInf}, {1, kNan, kInf}, 0));
  EXPECT_FALSE(close_to(Values{kNan}, {1}, 1e9));
  EXPECT_FALSE(close_to(Values{1}, {kNan}, 1e9));
  EXPECT_FALSE(close_to(Values{kInf}, {-kInf}, 1e9));
  EXPECT_FALSE(close_to(Values{1e300}, {kInf}, 1e9));
  EXPECT_FALSE(close_to(Values{1, 2}, {1}, 1e9));
  EXPECT_FALSE(close_to(Values{1.001, 100}, {1, 100}, 9e-6));
  EXPECT_TRUE(close_to(Values{1.001, 100}, {1, 100}, 1.1e-5));
}

TEST(UlpDistance, CountsSteps) {
  EXPECT_EQ(ulp_distance(1.0f, std::nextafter(1.0f, 2.0f)), 1);
  EXPECT_EQ(ulp_distance(0.0f, -0.0f), 0);
  EXPECT_EQ(ulp_distance(std::numeric_limits<double>::denorm_min(),
                         -std::numeric_limits<double>::denorm_min()),
            2);
  EXPECT_GT(ulp_distance(1.0f, std::nanf("")), 1 << 30);
}

TEST(BitwiseEqual, SeesOneBit) {
  OwnedTensor a({2}, DType::f32, {1, 0}), b({2}, DType::f32, {1, -0.0});
  EXPECT_TRUE(bitwise_equal(a, a));
  EXPECT_FALSE(bitwise_equal(a, b));
}

TEST(GradientError, FindsARightAndAWrongGradient) {
  for (const std::int64_t count : {5, 1000}) {
    const Values x = random_tensor({count}, DType::f64, 3).values();
    const Functional cubes = [](const Values& v) {
      double total = 0;
      for (const double value : v) total += value * value * value;
      return total;
    };
    Values gradient;
    for (const double value : x) gradient.push_back(3 * value * value);
    EXPECT_LT(gradient_error(cubes, x, gradient), 1e-9) << count;
    gradient[1] += 1e-3 * gradient[1] + 1e-4;
    EXPECT_GT(gradient_error(cubes, x, gradient), 1e-6) << count;
    gradient[1] = kNan;
    EXPECT_EQ(gradient_error(cubes, x, gradient), kInf) << count;
  }
}

TEST(TestContext, RunsOnTheCpu) {
  TestContext c(3, true);
  EXPECT_EQ(c.get().pool().thread_count(), 3);
  EXPECT_EQ(c.get().reduction_parts(1000),
            test_device().is_host() ? Context::kDeterministicParts : 15);
  EXPECT_EQ(c.get().device(), test_device());
}

}  // namespace
}  // namespace kiln::test
