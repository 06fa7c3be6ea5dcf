#include "kernels/include/maxpool.h"

#include <gtest/gtest.h>

#include "kernels/include/maxpool_grad.h"
#include "tests/kernels/pool_shapes.h"
#include "tests/reference/maxpool.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

Results run_forward(Context& c, DType dtype, const Pool2dShape& s, const Values& x) {
  const OwnedTensor in(s.input(), dtype, x);
  Results results;
  results.emplace_back(s.output(), dtype);
  results.emplace_back(s.output(), DType::u8);
  maxpool(c, {.shape = s, .x = in, .y = results[0], .index = results[1]});
  return results;
}

std::vector<Values> wanted_forward(const Pool2dShape& s, const Values& x) {
  const auto wanted = reference::maxpool(s, x);
  return {wanted.y, wanted.index};
}

TEST(Maxpool, MatchesTheOracle) {
  for (const Pool2dShape& s : pool_shapes()) {
    SCOPED_TRACE(describe(s));
    // Multiples of 1/4 in a small range, so that most windows hold ties.
    Values x = random_tensor(s.input(), DType::f32, 1, -4, 4).values();
    for (double& value : x) value = std::floor(value) / 4;
    check_op_in_all_types([&](Context& c, DType dtype) { return run_forward(c, dtype, s, x); },
                          [&](DType dtype) { return wanted_forward(s, rounded(x, dtype)); },
                          {0, 0, true});
  }
}

TEST(Maxpool, NanWinsAndInfinitiesAreNumbers) {
  for (const Pool2dShape& s : pool_shapes()) {
    SCOPED_TRACE(describe(s));
    Values x = random_tensor(s.input(), DType::f32, 1).values();
    const double inf = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < x.size(); i += 2) x[i] = -inf;
    for (std::size_t i = 0; i < x.size(); i += 7) x[i] = std::nan("");
    for (std::size_t i = 3; i < x.size(); i += 11) x[i] = inf;
    check_op_in_all_types([&](Context& c, DType dtype) { return run_forward(c, dtype, s, x); },
                          [&](DType dtype) { return wanted_forward(s, rounded(x, dtype)); },
                          {0, 0, true});
  }
}

TEST(Maxpool, NeedsNoIndexInEvaluation) {
  TestContext c;
  for (const Pool2dShape& s : pool_shapes()) {
    const OwnedTensor x = random_tensor(s.input(), DType::f32, 1);
    OwnedTensor y(s.output(), DType::f32);
    maxpool(c, {.shape = s, .x = x, .y = y, .index = {}});
    EXPECT_TRUE(elementwise_close_to(y, reference::maxpool(s, x.values()).y, 0)) << describe(s);
  }
}

TEST(MaxpoolGrad, MatchesTheOracle) {
  for (const Pool2dShape& s : pool_shapes())
    for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
      SCOPED_TRACE(describe(s));
      const Values index =
          reference::maxpool(s, random_tensor(s.input(), DType::f32, 1).values()).index;
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor place(s.output(), DType::u8, index);
        const OwnedTensor dy = random_tensor(s.output(), dtype, 2);
        OwnedTensor dx(s.input(), dtype);
        if (mode == GradWrite::accumulate) dx.assign(random_tensor(s.input(), dtype, 3).values());
        maxpool_grad(c, {.shape = s, .index = place, .dy = dy, .dx = dx, .mode = mode});
        return results_of(std::move(dx));
      };
      const auto wanted = [&](DType dtype) {
        const Values dx =
            reference::maxpool_grad(s, index, random_tensor(s.output(), dtype, 2).values());
        const bool add = mode == GradWrite::accumulate;
        return std::vector<Values>{add ? plus(dx, random_tensor(s.input(), dtype, 3).values())
                                       : dx};
      };
      // Sums of at most R*S = 16 gradients.
      check_op_in_all_types(run, wanted, {5e-7, 1e-15});
    }
}

TEST(MaxpoolGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  for (const Pool2dShape& s : pool_shapes()) {
    SCOPED_TRACE(describe(s));
    if (s.input().element_count() > 2000) continue;
    const OwnedTensor x = random_permutation_tensor(s.input(), DType::f64, 1, 0.01);
    const OwnedTensor weight = random_tensor(s.output(), DType::f64, 2);
    const Results forward = run_forward(c, DType::f64, s, x.values());
    OwnedTensor dx(s.input(), DType::f64);
    maxpool_grad(c, {.shape = s, .index = forward[1], .dy = weight, .dx = dx});
    const Functional f = [&](const Values& values) {
      return dot(run_forward(c, DType::f64, s, values)[0].values(), weight.values());
    };
    EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
  }
}

TEST(Maxpool, RefusesWhatDoesNotFit) {
  TestContext c;
  const Pool2dShape s{.n = 1, .h = 4, .w = 4, .c = 2};
  const OwnedTensor x(s.input(), DType::f32), y(s.output(), DType::f32);
  const OwnedTensor f32_index(s.output(), DType::f32);
  EXPECT_THROW(maxpool(c, {.shape = s, .x = y, .y = y, .index = {}}), Error);
  EXPECT_THROW(maxpool(c, {.shape = s, .x = x, .y = y, .index = f32_index}), Error);
  Pool2dShape bad = s;
  bad.pad_h = 2;
  EXPECT_THROW(maxpool(c, {.shape = bad, .x = x, .y = y, .index = {}}), Error);
  bad = s;
  bad.r = 5;
  EXPECT_THROW(maxpool(c, {.shape = bad, .x = x, .y = y, .index = {}}), Error);
  bad = s;
  bad.stride_w = 0;
  EXPECT_THROW(check(MaxpoolArgs{.shape = bad, .x = x, .y = y, .index = {}}), Error);
}

}  // namespace
}  // namespace kiln::test
