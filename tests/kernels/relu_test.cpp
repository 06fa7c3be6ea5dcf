#include "kernels/include/relu.h"

#include <gtest/gtest.h>

#include "kernels/include/relu_grad.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

// Exact: relu only selects.
constexpr Tolerance kExact{0, 0, true};

TEST(Relu, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Values x = with_special_values(random_tensor(shape, DType::f32, 1).values());
    const auto run = [&](Context& c, DType dtype) {
      const OwnedTensor in(shape, dtype, x);
      OwnedTensor y(shape, dtype);
      relu(c, {.x = in, .y = y});
      return results_of(std::move(y));
    };
    const auto wanted = [&](DType dtype) {
      return std::vector<Values>{reference::relu(rounded(x, dtype))};
    };
    check_op_in_all_types(run, wanted, kExact);
  }
}

TEST(Relu, MayWorkInPlace) {
  TestContext c(2);
  OwnedTensor x = random_tensor({100}, DType::f32, 1);
  const Values wanted = reference::relu(x.values());
  relu(c, {.x = x, .y = x});
  EXPECT_TRUE(elementwise_close_to(x, wanted, 0));
}

Results run_grad(Context& c, DType dtype, const Shape& shape, GradWrite mode, const Values& y) {
  const OwnedTensor result(shape, dtype, y), dy = random_tensor(shape, dtype, 2);
  OwnedTensor dx(shape, dtype);
  if (mode == GradWrite::accumulate) dx.assign(random_tensor(shape, dtype, 3).values());
  relu_grad(c, {.y = result, .dy = dy, .dx = dx, .mode = mode});
  return results_of(std::move(dx));
}

TEST(ReluGrad, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes()) {
    SCOPED_TRACE(to_string(shape));
    const Values y = with_special_values(random_tensor(shape, DType::f32, 1).values());
    const auto wanted = [&](DType d) {
      return reference::relu_grad(rounded(y, d), random_tensor(shape, d, 2).values());
    };
    check_op_in_all_types(
        [&](Context& c, DType d) { return run_grad(c, d, shape, GradWrite::overwrite, y); },
        [&](DType d) { return std::vector<Values>{wanted(d)}; }, kExact);
    // One rounded addition; relative to the largest, as sums may cancel.
    check_op_in_all_types(
        [&](Context& c, DType d) { return run_grad(c, d, shape, GradWrite::accumulate, y); },
        [&](DType d) {
          return std::vector<Values>{plus(wanted(d), random_tensor(shape, d, 3).values())};
        },
        {6e-8, 1.2e-16});
  }
}

TEST(ReluGrad, SkipWritesNothing) {
  TestContext c;
  const OwnedTensor y = random_tensor({9}, DType::f32, 1);
  relu_grad(c, {.y = y, .dy = y, .dx = {}, .mode = GradWrite::skip});
}

TEST(ReluGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{57};
  const OwnedTensor x = random_tensor_off_zero(shape, DType::f64, 4, 0.01);
  const OwnedTensor weight = random_tensor(shape, DType::f64, 5);
  const auto forward = [&](const Values& values) {
    const OwnedTensor in(shape, DType::f64, values);
    OwnedTensor y(shape, DType::f64);
    relu(c, {.x = in, .y = y});
    return y;
  };
  OwnedTensor dx(shape, DType::f64);
  relu_grad(c, {.y = forward(x.values()), .dy = weight, .dx = dx});
  const Functional f = [&](const Values& v) { return dot(forward(v).values(), weight.values()); };
  EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
}

TEST(Relu, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), other({5}, DType::f32), f64({4}, DType::f64);
  EXPECT_THROW(relu(c, {.x = x, .y = other}), Error);
  EXPECT_THROW(relu(c, {.x = x, .y = f64}), Error);
  EXPECT_THROW(relu(c, {.x = x, .y = {}}), Error);
  EXPECT_THROW(relu_grad(c, {.y = x, .dy = x, .dx = {}}), Error);
}

}  // namespace
}  // namespace kiln::test
