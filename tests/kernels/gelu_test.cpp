#include "kernels/include/gelu.h"

#include <bit>
#include <gtest/gtest.h>

#include "kernels/include/gelu_grad.h"
#include "tests/reference/gelu.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

// f32: two units in the last place of each result, which the sweep below holds everywhere. f64:
// erfc(u) has the condition number 2 u^2 = 64 at the ends, which both sides spend on the rounding
// of x / sqrt 2.
constexpr Tolerance kForward{1.5e-7, 2e-14, true};
// The slope changes its sign at x = -0.75, so its error is measured against the largest.
constexpr Tolerance kGradient{2e-7, 1e-15};

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
    const auto wanted = [&](DType dtype) {
      return std::vector<Values>{reference::gelu(rounded(wide_range(shape), dtype))};
    };
    // 16 bits: computed in f32, where erfc(u) has the condition number 2 u^2 = 64 at the ends, on
    // an argument of two roundings.
    Tolerance tolerance = kForward;
    tolerance.f32_of_16_bits = 64 * 0x1p-23;
    check_op_in_all_types(run, wanted, tolerance);
  }
}

// Every 211th float from 2^-31 to 16 of both signs, every 65,536th of the others.
std::vector<float> dense_floats() {
  std::vector<float> all;
  for (const std::uint32_t sign : {0U, 0x80000000U})
    for (std::uint32_t bits = 0; bits < 0x7f800000U;
         bits += bits < 0x30000000U || bits > 0x41800000U ? 65536 : 211)
      all.push_back(std::bit_cast<float>(sign | bits));
  return all;
}

// The largest error of f32 results in units of `allowed`, and where.
struct Worst {
  double ratio = 0;
  float at = 0;
  void take(float x, float got, double wanted, double allowed) {
    const double r = std::fabs(static_cast<double>(got) - wanted) / allowed;
    if (r > ratio || std::isnan(r)) *this = {std::isnan(r) ? 1e300 : r, x};
  }
};

// gelu: relative to each result, down to where results are no normal numbers and one unit is the
// smallest float. Its slope changes sign at -0.75, where its two terms cancel: relative to the
// larger of the result and Phi(x).
TEST(Gelu, StaysWithinTwoUnitsInTheLastPlaceOverAllFiniteNumbers) {
  const std::vector<float> inputs = dense_floats();
  const Shape shape{static_cast<std::int64_t>(inputs.size())};
  const OwnedTensor x(shape, DType::f32), y(shape, DType::f32), dx(shape, DType::f32);
  const OwnedTensor ones(shape, DType::f32, Values(inputs.size(), 1.0));
  std::ranges::copy(inputs, x.host<float>().data());
  TestContext c;
  gelu(c, {.x = x, .y = y});
  gelu_grad(c, {.x = x, .dy = ones, .dx = dx});
  const Values all = x.values();
  const Values wanted = reference::gelu(all), slopes = reference::gelu_grad(all, ones.values());
  Worst value, slope;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto smallest = static_cast<double>(std::numeric_limits<float>::denorm_min());
    value.take(inputs[i], y.host<const float>()[i], wanted[i],
               std::max(1.5e-7 * std::fabs(wanted[i]), 1.2 * smallest));
    const double phi = std::erfc(-all[i] / std::sqrt(2.0)) / 2;
    slope.take(inputs[i], dx.host<const float>()[i], slopes[i],
               std::max(1.5e-7 * std::max(std::fabs(slopes[i]), phi), 1.2 * smallest));
  }
  EXPECT_LE(value.ratio, 1) << "gelu(" << value.at << ")";
  EXPECT_LE(slope.ratio, 1) << "slope at " << slope.at;
}

TEST(Gelu, KeepsTheSignOfItsZeros) {
  const Values x{0.0, -0.0, -15, -40, -3e38};
  const Shape shape{static_cast<std::int64_t>(x.size())};
  const OwnedTensor in(shape, DType::f32, x), y(shape, DType::f32);
  TestContext c;
  gelu(c, {.x = in, .y = y});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float result = y.host<const float>()[i];
    EXPECT_EQ(result, 0) << x[i];
    EXPECT_EQ(std::signbit(result), std::signbit(x[i])) << x[i];
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
      const auto wanted = [&](DType dtype) {
        const Values dx = reference::gelu_grad(rounded(wide_range(shape), dtype),
                                               random_tensor(shape, dtype, 2).values());
        const bool add = mode == GradWrite::accumulate;
        return std::vector<Values>{add ? plus(dx, random_tensor(shape, dtype, 3).values()) : dx};
      };
      // 16 bits: five f32 operations and two functions of up to 2 ulp.
      Tolerance tolerance = kGradient;
      tolerance.f32_of_16_bits = 1e-6;
      check_op_in_all_types(run, wanted, tolerance);
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
