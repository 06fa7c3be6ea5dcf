#include "kernels/include/conv2d_grad.h"

#include <gtest/gtest.h>

#include "tests/kernels/conv2d_cases.h"
#include "tests/reference/conv2d.h"
#include "tests/support/compare.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

double tolerance(DType dtype) { return stored_tolerance(dtype, 4e-6, 1e-14); }

// One call's tensors; the gradients start as NaN.
struct Problem {
  Problem(const Conv2dShape& shape, DType dtype)
      : s(shape),
        x(random_tensor(s.input(), dtype, 1)),
        w(random_tensor(s.weights(), dtype, 2)),
        dy(random_tensor(s.output(), dtype, 3)),
        dx(s.input(), dtype),
        dw(s.weights(), parameter_type(dtype)),
        dbias({s.k}, parameter_type(dtype)) {}

  void run(Context& c, GradWrite mode = GradWrite::overwrite, bool accumulate_parameters = false,
           bool bias = true) {
    const Scratch scratch(conv2d_grad_scratch_bytes(c, s, x.dtype()));
    conv2d_grad(c, {s, x, w, dy, mode == GradWrite::skip ? Tensor{} : dx.view(), dw,
                    bias ? dbias.view() : Tensor{}, mode, accumulate_parameters, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
  }
  reference::Conv2dGradients wanted() const {
    return reference::conv2d_grad(s, x.values(), w.values(), dy.values());
  }

  Conv2dShape s;
  OwnedTensor x, w, dy, dx, dw, dbias;
};

// Large problems take devices seconds and show nothing about 16 bits that f32 does not.
bool too_large(const Conv2dShape& s, DType dtype) {
  return is_16_bit(dtype) && !test_device().is_host() && s.multiply_count() > 1'000'000;
}

class Conv2dGradTest : public testing::TestWithParam<Conv2dShape> {};

TEST_P(Conv2dGradTest, EqualsTheOracle) {
  for (const DType dtype : storage_types()) {
    if (too_large(GetParam(), dtype)) continue;
    Problem problem(GetParam(), dtype);
    const auto wanted = problem.wanted();
    for (const int threads : kThreadCounts)
      for (const bool deterministic : {false, true}) {
        // Neither changes what a device does; f32 and f64 show that already.
        const bool host = test_device().is_host();
        if (is_16_bit(dtype) && !host && (threads > 1 || deterministic)) continue;
        TestContext c(threads, deterministic);
        problem.dx.spoil();
        problem.dw.spoil();
        problem.dbias.spoil();
        problem.run(c);
        EXPECT_TRUE(close_to(problem.dx, wanted.dx, tolerance(dtype))) << to_string(GetParam());
        EXPECT_TRUE(close_to(problem.dw, wanted.dw, tolerance(parameter_type(dtype))))
            << to_string(GetParam());
        EXPECT_TRUE(close_to(problem.dbias, wanted.dbias, tolerance(parameter_type(dtype))));
      }
  }
}

TEST_P(Conv2dGradTest, AddsWhereAskedTo) {
  for (const DType dtype : storage_types()) {
    if (too_large(GetParam(), dtype)) continue;
    Problem problem(GetParam(), dtype);
    const auto wanted = problem.wanted();
    const OwnedTensor old_dx = random_tensor(problem.s.input(), dtype, 7);
    const OwnedTensor old_dw = random_tensor(problem.s.weights(), parameter_type(dtype), 8);
    const OwnedTensor old_dbias = random_tensor({problem.s.k}, parameter_type(dtype), 9);
    problem.dx.assign(old_dx.values());
    problem.dw.assign(old_dw.values());
    problem.dbias.assign(old_dbias.values());
    TestContext c(2);
    problem.run(c, GradWrite::accumulate, true);
    EXPECT_TRUE(close_to(problem.dx, plus(wanted.dx, old_dx.values()), tolerance(dtype)));
    EXPECT_TRUE(
        close_to(problem.dw, plus(wanted.dw, old_dw.values()), tolerance(parameter_type(dtype))));
    EXPECT_TRUE(close_to(problem.dbias, plus(wanted.dbias, old_dbias.values()),
                         tolerance(parameter_type(dtype))));
  }
}

TEST_P(Conv2dGradTest, SkipsDxAndDbias) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Problem problem(GetParam(), dtype);
    TestContext c(2);
    problem.run(c, GradWrite::skip, false, false);
    EXPECT_TRUE(close_to(problem.dw, problem.wanted().dw, tolerance(parameter_type(dtype))));
    EXPECT_TRUE(std::isnan(problem.dx.at(0)));
    EXPECT_TRUE(std::isnan(problem.dbias.at(0)));
  }
}

TEST_P(Conv2dGradTest, SameBitsEveryTimeAndUnderDeterministicWithAnyThreadCount) {
  std::vector<DType> types{DType::f32};
  if (test_device().is_host()) types.push_back(DType::bf16);
  for (const DType dtype : types)
    for (const bool deterministic : {false, true}) {
      Problem first(GetParam(), dtype);
      TestContext two(2, deterministic);
      first.run(two);
      for (const int threads : {2, 1, 3, 8}) {
        if (!deterministic && threads != 2) continue;
        Problem again(GetParam(), dtype);
        TestContext c(threads, deterministic);
        again.run(c);
        EXPECT_TRUE(bitwise_equal(first.dx, again.dx));
        EXPECT_TRUE(bitwise_equal(first.dw, again.dw));
        EXPECT_TRUE(bitwise_equal(first.dbias, again.dbias));
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv2dGradTest, testing::ValuesIn(conv2d_cases()));

// The op against finite differences of the op, in double: no oracle in between.
TEST(Conv2dGrad, EqualsFiniteDifferences) {
  for (const Conv2dShape& s : conv2d_cases()) {
    if (s.multiply_count() > 200'000) continue;
    Problem problem(s, DType::f64);
    TestContext c;
    problem.run(c);
    const Values dy = problem.dy.values();
    const auto loss = [&](const Values& x, const Values& w) {
      const OwnedTensor xs(s.input(), DType::f64, x), ws(s.weights(), DType::f64, w);
      const OwnedTensor y(s.output(), DType::f64);
      conv2d(c, {s, xs, ws, {}, y});
      return dot(dy, y.values());
    };
    const Values x = problem.x.values(), w = problem.w.values();
    const auto of_x = [&](const Values& v) { return loss(v, w); };
    const auto of_w = [&](const Values& v) { return loss(x, v); };
    EXPECT_LE(gradient_error(of_x, x, problem.dx.values()), 1e-9) << to_string(s);
    EXPECT_LE(gradient_error(of_w, w, problem.dw.values()), 1e-9) << to_string(s);
  }
}

}  // namespace
}  // namespace kiln::test
