#include "kernels/include/gelu.h"

#include <gtest/gtest.h>

#include "kernels/include/gelu_grad.h"
#include "tests/reference/gelu.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

// f32: measured worst 3.3e-7 of each result with fused multiply-adds and 4.1e-7 without, down to
// the smallest normal numbers. f64: erfc(u) has the condition number 2 u^2 = 64 at the ends, which
// both sides spend on the rounding of x / sqrt 2.
constexpr Tolerance kForward{5e-7, 2e-14, true};
// The slope changes its sign at x = -0.75, so its error is measured against the largest.
constexpr Tolerance kGradient{3e-7, 1e-15};

Values wide_range(const Shape& shape) {
  return random_tensor(shape, DType::f32, 1, -8, 8).values();
}

TEST(Gelu, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor x(shape, dtype, wide_range(shape));
      OwnedTensor y(shape, dtype);
      gelu(c, {.x = x, .y = y});
      return results_of(std::move(y));
    };
    check_op(run, {reference::gelu(wide_range(shape))}, kForward);
  }
}

TEST(Gelu, KeepsNanAndInfinity) {
  TestContext c;
  const double inf = std::numeric_limits<double>::infinity();
  const Values x{std::numeric_limits<double>::quiet_NaN(), inf, 0, -0.0, 100, -100, 1e30, 20, -20};
  const Shape shape{static_cast<std::int64_t>(x.size())};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const OwnedTensor in(shape, dtype, x);
    OwnedTensor y(shape, dtype), dx(shape, dtype);
    gelu(c, {.x = in, .y = y});
    EXPECT_TRUE(elementwise_close_to(y, reference::gelu(in.values()), 5e-7, 1e-30));
    const OwnedTensor ones(shape, dtype, Values(x.size(), 1.0));
    gelu_grad(c, {.x = in, .dy = ones, .dx = dx});
    EXPECT_TRUE(std::isnan(dx.at(0)));
    EXPECT_EQ(dx.at(4), 1);
    EXPECT_EQ(std::fabs(dx.at(5)), 0);
    EXPECT_NEAR(dx.at(2), 0.5, 6e-8);
  }
}

TEST(GeluGrad, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor x(shape, dtype, wide_range(shape)), dy = random_tensor(shape, dtype, 2);
        OwnedTensor dx(shape, dtype);
        if (mode == GradWrite::accumulate) dx.assign(random_tensor(shape, dtype, 3).values());
        gelu_grad(c, {.x = x, .dy = dy, .dx = dx, .mode = mode});
        return results_of(std::move(dx));
      };
      Values wanted =
          reference::gelu_grad(wide_range(shape), random_tensor(shape, DType::f32, 2).values());
      if (mode == GradWrite::accumulate) {
        const Values before = random_tensor(shape, DType::f32, 3).values();
        for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] += before[i];
      }
      check_op(run, {wanted}, kGradient);
    }
  }
}

TEST(GeluGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{61};
  const OwnedTensor x = random_tensor(shape, DType::f64, 4, -4, 4);
  const OwnedTensor weight = random_tensor(shape, DType::f64, 5);
  OwnedTensor dx(shape, DType::f64);
  gelu_grad(c, {.x = x, .dy = weight, .dx = dx});
  const Functional f = [&](const Values& values) {
    const OwnedTensor in(shape, DType::f64, values);
    OwnedTensor y(shape, DType::f64);
    gelu(c, {.x = in, .y = y});
    return dot(y.values(), weight.values());
  };
  EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
}

}  // namespace
}  // namespace kiln::test
