#include "kernels/include/dropout.h"

#include <gtest/gtest.h>

#include "kernels/include/dropout_grad.h"
#include "tests/reference/dropout.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

// One rounded product; the factor 1/(1-p) itself is rounded to float.
constexpr Tolerance kProduct{1.3e-7, 3e-16, true};

struct Case {
  Shape shape;
  bool channel;
};

std::vector<Case> cases() {
  return {{{1}, false},
          {{3}, false},
          {{16}, false},
          {{67}, false},
          {{kWithSanitizer ? 20003 : 100003}, false},
          {{2, 5, 5, 3}, true},
          {{4, 1, 1, 10}, true},
          {{3, 7, 7, 64}, true},
          {{2, 31, 31, 17}, true},
          {{1, 1, 1, 1}, true},
          {{2, 4, 4, 6}, false}};
}

Values wanted_of(const reference::DropoutKey& key, const Case& k, const Values& x) {
  const bool image = k.channel;
  return reference::dropout(key, x, image ? static_cast<std::size_t>(k.shape[0]) : 1,
                            image ? static_cast<std::size_t>(k.shape[-1]) : 1, image);
}

TEST(Dropout, MatchesTheOracle) {
  for (const Case& k : cases())
    for (const double p : {0.0, 0.3, 0.5, 1.0}) {
      SCOPED_TRACE(to_string(k.shape));
      const reference::DropoutKey key{p, 0x123456789abcdef0, 7, 100000000001, 12};
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor x = random_tensor(k.shape, dtype, 1);
        OwnedTensor y(k.shape, dtype);
        dropout(c, {.x = x,
                    .y = y,
                    .p = p,
                    .channel = k.channel,
                    .seed = key.seed,
                    .epoch = key.epoch,
                    .step = key.step,
                    .layer_id = key.layer});
        return results_of(std::move(y));
      };
      const auto wanted = [&](DType dtype) {
        return std::vector<Values>{wanted_of(key, k, random_tensor(k.shape, dtype, 1).values())};
      };
      check_op_in_all_types(run, wanted, kProduct);
    }
}

TEST(DropoutGrad, MatchesTheOracle) {
  for (const Case& k : cases())
    for (const GradWrite mode : {GradWrite::overwrite, GradWrite::accumulate}) {
      SCOPED_TRACE(to_string(k.shape));
      const reference::DropoutKey key{0.25, 3, 1, 9, 2};
      const auto run = [&](Context& c, DType dtype) {
        const OwnedTensor dy = random_tensor(k.shape, dtype, 1);
        OwnedTensor dx(k.shape, dtype);
        if (mode == GradWrite::accumulate) dx.assign(random_tensor(k.shape, dtype, 2).values());
        dropout_grad(c, {.dy = dy,
                         .dx = dx,
                         .p = key.p,
                         .channel = k.channel,
                         .seed = key.seed,
                         .epoch = key.epoch,
                         .step = key.step,
                         .layer_id = key.layer,
                         .mode = mode});
        return results_of(std::move(dx));
      };
      const auto wanted = [&](DType dtype) {
        const Values dx = wanted_of(key, k, random_tensor(k.shape, dtype, 1).values());
        const bool add = mode == GradWrite::accumulate;
        return std::vector<Values>{add ? plus(dx, random_tensor(k.shape, dtype, 2).values()) : dx};
      };
      check_op_in_all_types(run, wanted, {2e-7, 4e-16});
    }
}

TEST(Dropout, DropsTheStatedShare) {
  TestContext c;
  const Shape shape{200000};
  const OwnedTensor ones(shape, DType::f32, Values(200000, 1.0));
  OwnedTensor y(shape, DType::f32);
  for (const double p : {0.1, 0.5, 0.9}) {
    dropout(c, {.x = ones, .y = y, .p = p, .seed = 5});
    double dropped = 0;
    for (const double value : y.values()) dropped += value == 0 ? 1 : 0;
    // Five standard deviations of a binomial count.
    EXPECT_NEAR(dropped / 200000, p, 5 * std::sqrt(p * (1 - p) / 200000));
  }
}

TEST(Dropout, StepsLayersEpochsAndSeedsDiffer) {
  TestContext c;
  const OwnedTensor ones({256}, DType::f32, Values(256, 1.0));
  const auto run = [&](std::uint64_t seed, std::uint32_t epoch, std::uint64_t step,
                       std::uint32_t layer) {
    OwnedTensor y({256}, DType::f32);
    dropout(c, {.x = ones, .y = y, .seed = seed, .epoch = epoch, .step = step, .layer_id = layer});
    return y.values();
  };
  const Values base = run(1, 1, 1, 1);
  EXPECT_EQ(base, run(1, 1, 1, 1));
  EXPECT_NE(base, run(2, 1, 1, 1));
  EXPECT_NE(base, run(1, 2, 1, 1));
  EXPECT_NE(base, run(1, 1, 2, 1));
  EXPECT_NE(base, run(1, 1, 1, 2));
}

TEST(Dropout, NanComesThrough) {
  TestContext c;
  const OwnedTensor x({64}, DType::f32, Values(64, std::nan("")));
  OwnedTensor y({64}, DType::f32);
  dropout(c, {.x = x, .y = y, .p = 0.5, .seed = 5});
  for (const double value : y.values()) EXPECT_TRUE(std::isnan(value));
}

TEST(DropoutGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{2, 3, 3, 4};
  const OwnedTensor x = random_tensor(shape, DType::f64, 1);
  const OwnedTensor weight = random_tensor(shape, DType::f64, 2);
  for (const bool channel : {false, true}) {
    OwnedTensor dx(shape, DType::f64);
    dropout_grad(c, {.dy = weight, .dx = dx, .p = 0.4, .channel = channel, .seed = 8});
    const Functional f = [&](const Values& values) {
      const OwnedTensor in(shape, DType::f64, values);
      OwnedTensor y(shape, DType::f64);
      dropout(c, {.x = in, .y = y, .p = 0.4, .channel = channel, .seed = 8});
      return dot(y.values(), weight.values());
    };
    EXPECT_LT(gradient_error(f, x.values(), dx.values()), 1e-6);
  }
}

TEST(Dropout, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor x({4}, DType::f32), y({4}, DType::f32);
  EXPECT_THROW(dropout(c, {.x = x, .y = y, .p = 1.5}), Error);
  EXPECT_THROW(dropout(c, {.x = x, .y = y, .p = std::nan("")}), Error);
  EXPECT_THROW(dropout(c, {.x = x, .y = y, .channel = true}), Error);
  EXPECT_THROW(dropout(c, {.x = x, .y = y, .step = std::uint64_t{1} << 48}), Error);
}

}  // namespace
}  // namespace kiln::test
