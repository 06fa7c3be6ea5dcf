#include "kernels/include/log_softmax.h"

#include <gtest/gtest.h>

#include "kernels/include/log_softmax_grad.h"
#include "tests/reference/log_softmax.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

// exp and log in double or within 2 ulp, sums of K terms, results relative to the largest.
constexpr Tolerance kTolerance{5e-7, 1e-15};

std::vector<Shape> score_shapes() {
  const std::int64_t rows = kWithSanitizer ? 600 : 3000;
  return {{1, 1}, {3, 2}, {4, 10}, {64, 10}, {17, 16}, {5, 17}, {2, 1000}, {rows, 10}, {33, 100}};
}

TEST(LogSoftmax, MatchesTheOracle) {
  for (const Shape& shape : score_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor x = random_tensor(shape, dtype, 1, -20, 20);
      OwnedTensor y(shape, dtype);
      log_softmax(c, {.x = x, .y = y});
      return results_of(std::move(y));
    };
    const auto wanted = [&](DType dtype) {
      return std::vector<Values>{reference::log_softmax(
          random_tensor(shape, dtype, 1, -20, 20).values(), static_cast<std::size_t>(shape[1]))};
    };
    check_op_in_all_types(run, wanted, kTolerance);
  }
}

TEST(LogSoftmax, SurvivesLargeScoresAndKeepsNan) {
  TestContext c;
  const double inf = std::numeric_limits<double>::infinity();
  const Values x{1e30, 1e30, -1e30, 1000, 1001, 1002, std::nan(""), 0,
                 1,    0,    -inf,  1,    0,    1,    std::nan("")};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const OwnedTensor in({5, 3}, dtype, x);
    OwnedTensor y({5, 3}, dtype);
    log_softmax(c, {.x = in, .y = y});
    EXPECT_TRUE(elementwise_close_to(y, reference::log_softmax(in.values(), 3), 5e-7, 1));
    EXPECT_TRUE(std::isnan(y.at(8)) && std::isnan(y.at(12)));
  }
}

TEST(LogSoftmaxGrad, MatchesTheOracle) {
  for (const Shape& shape : score_shapes())
    for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
      SCOPED_TRACE(to_string(shape));
      const auto classes = static_cast<std::size_t>(shape[1]);
      const Values y =
          OwnedTensor(
              shape, DType::f32,
              reference::log_softmax(random_tensor(shape, DType::f32, 1, -5, 5).values(), classes))
              .values();
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor result(shape, dtype, y), dy = random_tensor(shape, dtype, 2);
        OwnedTensor dx(shape, dtype);
        if (mode == GradWrite::accumulate) dx.assign(random_tensor(shape, dtype, 3).values());
        log_softmax_grad(c, {.y = result, .dy = dy, .dx = dx, .mode = mode});
        return results_of(std::move(dx));
      };
      const auto wanted = [&](DType dtype) {
        const Values dx = reference::log_softmax_grad(
            rounded(y, dtype), random_tensor(shape, dtype, 2).values(), classes);
        const bool add = mode == GradWrite::accumulate;
        return std::vector<Values>{add ? plus(dx, random_tensor(shape, dtype, 3).values()) : dx};
      };
      // One class: dx is 0 up to the rounding of summands of size 1, so the bar is absolute there.
      if (classes == 1)
        check_op_in_all_types(run, wanted, {1, 1});
      else
        check_op_in_all_types(run, wanted, {1e-6, 2e-15});
    }
}

TEST(LogSoftmaxGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{6, 10};
  const OwnedTensor x = random_tensor(shape, DType::f64, 1, -2, 2);
  const OwnedTensor weight = random_tensor(shape, DType::f64, 2);
  const auto forward = [&](const Values& values) {
    const OwnedTensor in(shape, DType::f64, values);
    OwnedTensor y(shape, DType::f64);
    log_softmax(c, {.x = in, .y = y});
    return y;
  };
  OwnedTensor dx(shape, DType::f64);
  log_softmax_grad(c, {.y = forward(x.values()), .dy = weight, .dx = dx});
  const Functional f = [&](const Values& v) { return dot(forward(v).values(), weight.values()); };
  EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
}

}  // namespace
}  // namespace kiln::test
