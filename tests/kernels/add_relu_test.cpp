#include "kernels/include/add_relu.h"

#include <gtest/gtest.h>

#include "kernels/include/add_relu_grad.h"
#include "tests/reference/add_relu.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

// One rounded addition, relative to the result.
constexpr Tolerance kSum{6e-8, 1.2e-16, true};

TEST(AddRelu, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes())
    for (const Activation activation : {Activation::relu, Activation::none}) {
      SCOPED_TRACE(to_string(shape));
      const Values a = with_special_values(random_tensor(shape, DType::f32, 1).values());
      const Values b = random_tensor(shape, DType::f32, 2).values();
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor left(shape, dtype, a), right(shape, dtype, b);
        OwnedTensor y(shape, dtype);
        add_relu(c, {.a = left, .b = right, .y = y, .activation = activation});
        return results_of(std::move(y));
      };
      const auto wanted = [&](DType dtype) {
        const Values left = rounded(a, dtype), right = rounded(b, dtype);
        return std::vector<Values>{activation == Activation::relu ? reference::add_relu(left, right)
                                                                  : reference::add(left, right)};
      };
      check_op_in_all_types(run, wanted, kSum);
    }
}

TEST(AddReluGrad, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes())
    for (const Activation activation : {Activation::relu, Activation::none}) {
      SCOPED_TRACE(to_string(shape));
      const Values y = random_tensor(shape, DType::f32, 1).values();
      const Values dy = with_special_values(random_tensor(shape, DType::f32, 2).values());
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor result(shape, dtype, y), gradient(shape, dtype, dy);
        OwnedTensor dsum(shape, dtype);
        add_relu_grad(c, {.y = activation == Activation::relu ? result.view() : Tensor{},
                          .dy = gradient,
                          .dsum = dsum,
                          .activation = activation});
        return results_of(std::move(dsum));
      };
      const auto wanted = [&](DType dtype) {
        const Values gradient = rounded(dy, dtype);
        return std::vector<Values>{activation == Activation::relu
                                       ? reference::relu_grad(rounded(y, dtype), gradient)
                                       : gradient};
      };
      // Elements are copied or zero.
      check_op_in_all_types(run, wanted, {0, 0, true});
    }
}

TEST(AddReluGrad, MayWorkInPlace) {
  TestContext c(2);
  for (const Activation activation : {Activation::relu, Activation::none}) {
    const OwnedTensor y = random_tensor({50}, DType::f32, 1);
    OwnedTensor dy = random_tensor({50}, DType::f32, 2);
    const Values wanted = activation == Activation::relu
                              ? reference::relu_grad(y.values(), dy.values())
                              : dy.values();
    add_relu_grad(c, {.y = y, .dy = dy, .dsum = dy, .activation = activation});
    EXPECT_TRUE(elementwise_close_to(dy, wanted, 0));
  }
}

TEST(AddReluGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{43};
  const OwnedTensor a = random_tensor_off_zero(shape, DType::f64, 1, 0.1);
  const OwnedTensor b(shape, DType::f64, Values(43, 0.05));
  const OwnedTensor weight = random_tensor(shape, DType::f64, 3);
  const auto forward = [&](const Values& values) {
    const OwnedTensor in(shape, DType::f64, values);
    OwnedTensor y(shape, DType::f64);
    add_relu(c, {.a = in, .b = b, .y = y});
    return y;
  };
  OwnedTensor dsum(shape, DType::f64);
  add_relu_grad(c, {.y = forward(a.values()), .dy = weight, .dsum = dsum});
  const Functional f = [&](const Values& v) { return dot(forward(v).values(), weight.values()); };
  EXPECT_LT(gradient_error(f, a.values(), dsum.values()), 1e-6);
}

}  // namespace
}  // namespace kiln::test
