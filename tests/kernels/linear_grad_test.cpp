#include "kernels/include/linear_grad.h"

#include <gtest/gtest.h>

#include "kernels/include/linear.h"
#include "tests/kernels/linear_cases.h"
#include "tests/reference/linear.h"
#include "tests/support/compare.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

double tolerance(DType dtype) { return stored_tolerance(dtype, 2e-6, 1e-14); }

struct Problem {
  Problem(const LinearCase& size, DType dtype, Activation act)
      : n(size.n),
        i(size.i),
        o(size.o),
        activation(act),
        x(random_tensor({n, i}, dtype, 1)),
        w(random_tensor({o, i}, dtype, 2)),
        y(random_tensor({n, o}, dtype, 3)),
        dy(random_tensor({n, o}, dtype, 4)),
        dx({n, i}, dtype),
        dw({o, i}, parameter_type(dtype)),
        dbias({o}, parameter_type(dtype)) {
    // What a relu leaves: no negative values, and exact zeros.
    for (std::int64_t at = 0; at < y.element_count(); ++at)
      if (y.at(at) < 0) y.set(at, 0);
  }
  void run(Context& c, GradWrite mode = GradWrite::overwrite, bool accumulate_parameters = false,
           bool bias = true) {
    const Scratch scratch(linear_grad_scratch_bytes(c, n, i, o, x.dtype()));
    linear_grad(c,
                {x, w, activation == Activation::relu ? y.view() : Tensor{}, dy,
                 mode == GradWrite::skip ? Tensor{} : dx.view(), dw, bias ? dbias.view() : Tensor{},
                 activation, mode, accumulate_parameters, scratch.data()});
    EXPECT_TRUE(scratch.guards_intact());
  }
  reference::LinearGradients wanted() const {
    Values dz = dy.values();
    for (std::size_t at = 0; at < dz.size(); ++at)
      if (activation == Activation::relu && !(y.at(static_cast<std::int64_t>(at)) > 0)) dz[at] = 0;
    return reference::linear_grad(n, i, o, x.values(), w.values(), dz);
  }

  std::int64_t n, i, o;
  Activation activation;
  OwnedTensor x, w, y, dy, dx, dw, dbias;
};

class LinearGradTest : public testing::TestWithParam<LinearCase> {};

TEST_P(LinearGradTest, EqualsTheOracleWithAnyThreadCountToTheBit) {
  for (const DType dtype : storage_types())
    for (const Activation activation : {Activation::none, Activation::relu}) {
      Problem first(GetParam(), dtype, activation);
      const auto wanted = first.wanted();
      for (const int threads : kThreadCounts) {
        TestContext c(threads);
        Problem again(GetParam(), dtype, activation);
        Problem& problem = threads == 1 ? first : again;
        problem.run(c);
        EXPECT_TRUE(close_to(problem.dx, wanted.dx, tolerance(dtype)));
        EXPECT_TRUE(close_to(problem.dw, wanted.dw, tolerance(parameter_type(dtype))));
        EXPECT_TRUE(close_to(problem.dbias, wanted.dbias, tolerance(parameter_type(dtype))));
        EXPECT_TRUE(bitwise_equal(first.dx, problem.dx));
        EXPECT_TRUE(bitwise_equal(first.dw, problem.dw));
        EXPECT_TRUE(bitwise_equal(first.dbias, problem.dbias));
      }
    }
}

TEST_P(LinearGradTest, AddsAndSkipsWhereAskedTo) {
  for (const DType dtype : storage_types()) {
    Problem problem(GetParam(), dtype, Activation::relu);
    const auto wanted = problem.wanted();
    TestContext c(2);
    problem.run(c, GradWrite::skip, false, false);
    EXPECT_TRUE(std::isnan(problem.dx.at(0)));
    EXPECT_TRUE(std::isnan(problem.dbias.at(0)));
    problem.run(c);
    // What is added to is what was stored.
    const Values dx = problem.dx.values(), dw = problem.dw.values();
    const Values dbias = problem.dbias.values();
    problem.run(c, GradWrite::accumulate, true);
    EXPECT_TRUE(close_to(problem.dx, plus(wanted.dx, dx), tolerance(dtype)));
    EXPECT_TRUE(close_to(problem.dw, plus(wanted.dw, dw), tolerance(parameter_type(dtype))));
    EXPECT_TRUE(
        close_to(problem.dbias, plus(wanted.dbias, dbias), tolerance(parameter_type(dtype))));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearGradTest, testing::ValuesIn(linear_cases()));

TEST(LinearGrad, EqualsFiniteDifferences) {
  for (const LinearCase& size : {LinearCase{3, 5, 4}, LinearCase{9, 40, 12}}) {
    Problem problem(size, DType::f64, Activation::none);
    TestContext c;
    problem.run(c);
    const Values dy = problem.dy.values();
    const auto loss = [&](const Values& x, const Values& w) {
      const OwnedTensor xs({size.n, size.i}, DType::f64, x), ws({size.o, size.i}, DType::f64, w);
      const OwnedTensor y({size.n, size.o}, DType::f64);
      linear(c, {xs, ws, {}, y});
      return dot(dy, y.values());
    };
    const Values x = problem.x.values(), w = problem.w.values();
    EXPECT_LE(gradient_error([&](const Values& v) { return loss(v, w); }, x, problem.dx.values()),
              1e-9);
    EXPECT_LE(gradient_error([&](const Values& v) { return loss(x, v); }, w, problem.dw.values()),
              1e-9);
  }
}

}  // namespace
}  // namespace kiln::test
