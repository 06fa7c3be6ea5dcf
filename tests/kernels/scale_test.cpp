#include "kernels/include/scale.h"

#include <cmath>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/reference/scale.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

constexpr double kFactor = 0.0078125 * 1.5;  // exact in every type

TEST(Scale, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes())
    for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
      SCOPED_TRACE(to_string(shape));
      const bool add = mode == GradWrite::accumulate;
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor x = random_tensor(shape, dtype, 1);
        OwnedTensor y = random_tensor(shape, dtype, 2);
        scale(c, {.x = x, .y = y, .factor = kFactor, .mode = mode});
        return results_of(std::move(y));
      };
      const auto wanted = [&](DType dtype) {
        return std::vector<Values>{
            reference::scale(random_tensor(shape, dtype, 1).values(), kFactor,
                             add ? random_tensor(shape, dtype, 2).values() : Values{})};
      };
      // One product and one sum, each rounded, against the largest result.
      check_op_in_all_types(run, wanted, {1.3e-7, 2.5e-16});
    }
}

TEST(Scale, WorksInPlaceAndKeepsNanAndInfinity) {
  TestContext c;
  const double inf = std::numeric_limits<double>::infinity();
  OwnedTensor x({4}, DType::f32, Values{std::nan(""), -inf, -0.0, 3});
  scale(c, {.x = x, .y = x, .factor = 2});
  const Values y = x.values();
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], -inf);
  EXPECT_TRUE(std::signbit(y[2]));
  EXPECT_EQ(y[3], 6);
}

TEST(Scale, IsItsOwnGradient) {
  TestContext c;
  const Shape shape{13};
  const OwnedTensor x = random_tensor(shape, DType::f64, 4);
  const OwnedTensor weight = random_tensor(shape, DType::f64, 5);
  OwnedTensor dx(shape, DType::f64);
  scale(c, {.x = weight, .y = dx, .factor = -3});
  const Functional f = [&](const Values& values) {
    const OwnedTensor in(shape, DType::f64, values);
    OwnedTensor y(shape, DType::f64);
    scale(c, {.x = in, .y = y, .factor = -3});
    return dot(y.values(), weight.values());
  };
  EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
}

TEST(Scale, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), y({2, 2}, DType::f32), z({4}, DType::f32);
  EXPECT_THROW(scale(c, {.x = x, .y = y}), Error);
  EXPECT_THROW(scale(c, {.x = x, .y = z, .mode = GradWrite::skip}), Error);
}

}  // namespace
}  // namespace kiln::test
