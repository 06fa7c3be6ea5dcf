#include <gtest/gtest.h>

#include "kernels/cpu/conv2d_relu_maxpool_extents.h"
#include "tests/kernels/conv2d_relu_maxpool_case.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

using Case = Conv2dReluMaxpoolCase;

// Sums of at most 5,000 products in f32, relative to the largest one.
constexpr double kTolerance = 5e-6;

Values sum_of(const Values& a, const Values& b) {
  Values sum = a;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

TEST(Conv2dReluMaxpoolGrad, IsTheOraclesForEveryShape) {
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    for (const int threads : kThreadCounts) {
      TestContext context(threads, threads == 2);
      Case c(shape);
      c.forward(context);
      const auto want = c.expected_gradients();
      c.backward(context);
      EXPECT_TRUE(close_to(c.dx, want.dx, kTolerance));
      EXPECT_TRUE(close_to(c.dw, want.dw, kTolerance));
      EXPECT_TRUE(close_to(c.dbias, want.dbias, kTolerance));
    }
  }
}

TEST(Conv2dReluMaxpoolGrad, IsExactInDouble) {
  TestContext context(3);
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Case c(shape, DType::f64);
    c.forward(context);
    const auto want = c.expected_gradients();
    c.backward(context);
    EXPECT_TRUE(close_to(c.dx, want.dx, 1e-13));
    EXPECT_TRUE(close_to(c.dw, want.dw, 1e-13));
    EXPECT_TRUE(close_to(c.dbias, want.dbias, 1e-13));
  }
}

TEST(Conv2dReluMaxpoolGrad, AddsSkipsAndLeavesOutAsAsked) {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
      SCOPED_TRACE(to_string(shape));
      TestContext context(2);
      Case c(shape, dtype);
      c.forward(context);
      const auto want = c.expected_gradients();
      const Values dx = random_tensor(shape.input(), dtype, 21).values();
      const Values dw = random_tensor(shape.weights(), dtype, 22).values();
      const Values dbias = random_tensor({shape.k}, dtype, 23).values();
      c.dx.assign(dx);
      c.dw.assign(dw);
      c.dbias.assign(dbias);
      c.backward(context, [](auto& args) {
        args.mode = GradWrite::accumulate;
        args.accumulate_parameters = true;
      });
      EXPECT_TRUE(close_to(c.dx, sum_of(dx, want.dx), kTolerance));
      EXPECT_TRUE(close_to(c.dw, sum_of(dw, want.dw), kTolerance));
      EXPECT_TRUE(close_to(c.dbias, sum_of(dbias, want.dbias), kTolerance));

      c.dx.assign(dx);
      c.dbias.assign(dbias);
      c.backward(context, [](auto& args) {
        args.mode = GradWrite::skip;
        args.dbias = Tensor();
      });
      EXPECT_TRUE(close_to(c.dw, want.dw, kTolerance));
      EXPECT_EQ(c.dx.values(), dx);
      EXPECT_EQ(c.dbias.values(), dbias);
      c.backward(context, [](auto& args) { args.dx = Tensor(); });
      EXPECT_TRUE(close_to(c.dw, want.dw, kTolerance));
    }
}

TEST(Conv2dReluMaxpoolGrad, RepeatsBitForBit) {
  for (Conv2dShape shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    shape.n = 11;
    TestContext context(3);
    Case a(shape), b(shape);
    for (Case* c : {&a, &b}) {
      c->forward(context);
      c->backward(context);
    }
    EXPECT_TRUE(bitwise_equal(a.dx, b.dx));
    EXPECT_TRUE(bitwise_equal(a.dw, b.dw));
    EXPECT_TRUE(bitwise_equal(a.dbias, b.dbias));
  }
}

TEST(Conv2dReluMaxpoolGrad, DeterministicMeansAnyThreadCount) {
  for (Conv2dShape shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    shape.n = 11;
    TestContext one(1, true);
    Case a(shape);
    a.forward(one);
    a.backward(one);
    for (const int threads : {2, 3}) {
      TestContext many(threads, true);
      Case b(shape);
      b.forward(many);
      b.backward(many);
      EXPECT_TRUE(bitwise_equal(a.dx, b.dx));
      EXPECT_TRUE(bitwise_equal(a.dw, b.dw));
      EXPECT_TRUE(bitwise_equal(a.dbias, b.dbias));
    }
  }
}

// relu'(0) = 0: nothing flows through a window whose result is zero, whatever its index says.
TEST(Conv2dReluMaxpoolGrad, DeadWindowsHaveNoGradient) {
  TestContext context;
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    Case c(shape);
    c.bias.assign(Values(static_cast<std::size_t>(shape.k), -1000.0));
    c.forward(context);
    for (std::int64_t i = 0; i < c.dy.element_count(); ++i) c.dy.set(i, 1e30);
    c.backward(context);
    EXPECT_EQ(c.dx.values(), Values(c.dx.values().size(), 0.0));
    EXPECT_EQ(c.dw.values(), Values(c.dw.values().size(), 0.0));
    EXPECT_EQ(c.dbias.values(), Values(c.dbias.values().size(), 0.0));
  }
}

// Finite differences of f = sum dy * y, as a function of one of the inputs. f is linear in pieces;
// the step is so small that no maximum changes place (a few of the thousands of near-ties would).
void check_against_differences(Case& c, OwnedTensor& input, const OwnedTensor& gradient) {
  TestContext context;
  const Values weights = c.dy.values(), start = input.values();
  const Functional f = [&](const Values& values) {
    input.assign(values);
    c.forward(context);
    return dot(weights, c.y.values());
  };
  const GradCheckOptions options{.step = 1e-6, .exhaustive_limit = 600};
  EXPECT_LT(gradient_error(f, start, gradient.values(), options), 1e-6);
  input.assign(start);
}

TEST(Conv2dReluMaxpoolGrad, AgreesWithFiniteDifferences) {
  const Conv2dShape shapes[] = {
      {.n = 2, .h = 9, .w = 8, .c = 2, .k = 3, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 2, .h = 8, .w = 10, .c = 3, .k = 2, .r = 5, .s = 5}};
  for (const Conv2dShape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    TestContext context;
    Case c(shape, DType::f64);
    c.forward(context);
    c.backward(context);
    check_against_differences(c, c.x, c.dx);
    check_against_differences(c, c.w, c.dw);
    check_against_differences(c, c.bias, c.dbias);
  }
}

TEST(Conv2dReluMaxpoolGrad, RefusesWhatDoesNotFit) {
  TestContext context;
  Case c({.n = 1, .h = 8, .w = 8, .c = 3, .k = 6, .r = 3, .s = 3});
  c.forward(context);
  EXPECT_THROW(c.backward(context, [](auto& args) { args.pool.h = 4; }), Error);
  EXPECT_THROW(c.backward(context, [](auto& args) { args.dw = args.x; }), std::logic_error);
  EXPECT_THROW(c.backward(context, [](auto& args) { args.dy = args.x; }), std::logic_error);
  EXPECT_THROW(c.backward(context, [](auto& args) { args.index = Tensor(); }), std::logic_error);
}

// dx, then the sums of dw and dbias, of the f32 body with patches of one width.
std::vector<float> by_width(Case& c, bool half_vectors) {
  const cpu::ConvPoolExtents e = cpu::extents_of(c.shape, c.pool);
  const auto floats = [](std::int64_t count) {
    return OwnedTensor(Shape{count}, DType::f32, Values(static_cast<std::size_t>(count), 0.0));
  };
  OwnedTensor packed = floats(KILN_CALL_ISA(conv_pool_grad_packed_floats(e)));
  OwnedTensor scratch = floats(KILN_CALL_ISA(conv_pool_grad_thread_floats(e)));
  OwnedTensor sums = floats(std::int64_t{e.k} * e.r * KILN_CALL_ISA(conv_pool_dw_row(e)) + e.k);
  OwnedTensor dx = floats(c.shape.input().element_count());
  KILN_CALL_ISA(
      conv_pool_grad_pack(e, c.w.host<const float>().data(), packed.host<float>().data()));
  KILN_CALL_ISA(conv_pool_grad(e, packed.host<const float>().data(),
                               {.x = c.x.host<const float>().data(),
                                .y = c.y.host<const float>().data(),
                                .index = c.index.host<const std::uint8_t>().data(),
                                .dy = c.dy.host<const float>().data(),
                                .dx = dx.host<float>().data(),
                                .add_to_dx = false,
                                .count = c.shape.n,
                                .half_vectors = half_vectors,
                                .sums = sums.host<float>().data(),
                                .scratch = scratch.host<float>().data()}));
  const auto all = dx.host<const float>(), more = sums.host<const float>();
  std::vector<float> result(all.begin(), all.end());
  // What stands between the rows of dw is nobody's.
  const int row = KILN_CALL_ISA(conv_pool_dw_row(e));
  for (int i = 0; i < e.k * e.r; ++i)
    result.insert(result.end(), more.begin() + i * row, more.begin() + i * row + e.s * e.c);
  result.insert(result.end(), more.end() - e.k, more.end());
  return result;
}

TEST(Conv2dReluMaxpoolGrad, TheWidthOfItsVectorsChangesNoBit) {
  for (const Conv2dShape& shape : conv2d_relu_maxpool_shapes()) {
    SCOPED_TRACE(to_string(shape));
    TestContext context;
    Case c(shape);
    c.forward(context);
    EXPECT_EQ(by_width(c, true), by_width(c, false));
  }
}

}  // namespace
}  // namespace kiln::test
