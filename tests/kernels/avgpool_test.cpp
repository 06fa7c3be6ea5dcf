#include "kernels/include/avgpool.h"

#include <gtest/gtest.h>

#include "kernels/include/avgpool_grad.h"
#include "tests/kernels/pool_shapes.h"
#include "tests/reference/avgpool.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

// Sums of up to 16 terms, each addition rounded: 16 * 2^-24 of the largest term.
constexpr Tolerance kSums{1e-6, 2e-15};

TEST(Avgpool, MatchesTheOracle) {
  for (const Pool2dShape& s : pool_shapes())
    for (const bool count_pad : {true, false}) {
      SCOPED_TRACE(describe(s));
      const Values x = random_tensor(s.input(), DType::f32, 1).values();
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor in(s.input(), dtype, x);
        OwnedTensor y(s.output(), dtype);
        avgpool(c, {.shape = s, .x = in, .y = y, .count_include_pad = count_pad});
        return results_of(std::move(y));
      };
      const auto wanted = [&](DType dtype) {
        return std::vector<Values>{reference::avgpool(s, rounded(x, dtype), count_pad)};
      };
      check_op_in_all_types(run, wanted, kSums);
    }
}

TEST(Avgpool, KeepsNanAndInfinity) {
  TestContext c;
  const Pool2dShape s{.n = 1, .h = 4, .w = 6, .c = 1};
  Values x = random_tensor(s.input(), DType::f32, 1).values();
  x[0] = std::nan("");
  x[3] = std::numeric_limits<double>::infinity();
  const OwnedTensor in(s.input(), DType::f32, x);
  OwnedTensor y(s.output(), DType::f32);
  avgpool(c, {.shape = s, .x = in, .y = y});
  EXPECT_TRUE(close_to(y, reference::avgpool(s, x, true), 1e-6));
}

TEST(AvgpoolGrad, MatchesTheOracle) {
  for (const Pool2dShape& s : pool_shapes())
    for (const bool count_pad : {true, false})
      for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
        SCOPED_TRACE(describe(s));
        const auto run = [&](Context& c, DType dtype) {
          const OwnedTensor dy = random_tensor(s.output(), dtype, 2);
          OwnedTensor dx(s.input(), dtype);
          if (mode == GradWrite::accumulate) dx.assign(random_tensor(s.input(), dtype, 3).values());
          avgpool_grad(
              c, {.shape = s, .dy = dy, .dx = dx, .mode = mode, .count_include_pad = count_pad});
          return results_of(std::move(dx));
        };
        const auto wanted = [&](DType dtype) {
          const Values dx =
              reference::avgpool_grad(s, random_tensor(s.output(), dtype, 2).values(), count_pad);
          const bool add = mode == GradWrite::accumulate;
          return std::vector<Values>{add ? plus(dx, random_tensor(s.input(), dtype, 3).values())
                                         : dx};
        };
        check_op_in_all_types(run, wanted, kSums);
      }
}

TEST(AvgpoolGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  for (const Pool2dShape& s : pool_shapes()) {
    SCOPED_TRACE(describe(s));
    if (s.input().element_count() > 2000) continue;
    const OwnedTensor x = random_tensor(s.input(), DType::f64, 1);
    const OwnedTensor weight = random_tensor(s.output(), DType::f64, 2);
    OwnedTensor dx(s.input(), DType::f64);
    avgpool_grad(c, {.shape = s, .dy = weight, .dx = dx, .count_include_pad = false});
    const Functional f = [&](const Values& values) {
      const OwnedTensor in(s.input(), DType::f64, values);
      OwnedTensor y(s.output(), DType::f64);
      avgpool(c, {.shape = s, .x = in, .y = y, .count_include_pad = false});
      return dot(y.values(), weight.values());
    };
    EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
  }
}

}  // namespace
}  // namespace kiln::test
