#include "kernels/include/adam_step.h"

#include <gtest/gtest.h>

#include "kernels/include/loss_scale_update.h"
#include "tests/golden/golden.h"
#include "tests/kernels/weight_copy.h"
#include "tests/reference/adam_step.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

TEST(AdamStep, MatchesTheOracle) {
  const reference::AdamSettings settings[] = {
      {.lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
      {.lr = 0.01, .beta1 = 0.3, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.01, .step = 7},
      {.lr = 0.01,
       .beta1 = 0.9,
       .beta2 = 0.99,
       .eps = 1e-6,
       .weight_decay = 0.1,
       .decoupled = true,
       .step = 1000}};
  for (const Shape& shape : elementwise_shapes())
    for (const auto& s : settings) {
      SCOPED_TRACE(to_string(shape));
      const auto run = [&](Context& c, DType dtype) {
        Results results;
        results.push_back(random_tensor(shape, dtype, 1));
        results.push_back(random_tensor(shape, dtype, 2));
        results.push_back(random_tensor(shape, dtype, 3, 0, 1));
        const OwnedTensor grad = random_tensor(shape, dtype, 4);
        adam_step(c, {.w = results[0],
                      .grad = grad,
                      .exp_avg = results[1],
                      .exp_avg_sq = results[2],
                      .lr = s.lr,
                      .beta1 = s.beta1,
                      .beta2 = s.beta2,
                      .eps = s.eps,
                      .weight_decay = s.weight_decay,
                      .decoupled = s.decoupled,
                      .step = s.step});
        return results;
      };
      Values w = random_tensor(shape, DType::f32, 1).values();
      Values first = random_tensor(shape, DType::f32, 2).values();
      Values second = random_tensor(shape, DType::f32, 3, 0, 1).values();
      reference::adam(s, w, random_tensor(shape, DType::f32, 4).values(), first, second);
      // A dozen roundings, numbers such as 0.999 rounded to float.
      check_op(run, {w, first, second}, {2e-6, 4e-15});
    }
}

// The type of the gradient, and what it was scaled by.
struct MixedCase {
  DType grad;
  double scale;
  bool decoupled;
};

TEST(AdamStep, MixedPrecisionMatchesTheOracle) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  TestContext c;
  for (const Shape& shape : elementwise_shapes())
    for (const auto& [type, scale, decoupled] :
         {MixedCase{DType::bf16, 1, true}, MixedCase{DType::f16, 1024, false},
          MixedCase{DType::f32, 1024, true}}) {
      SCOPED_TRACE(to_string(shape) + std::string(name_of(type)));
      const reference::AdamSettings s{.lr = 0.01,
                                      .beta1 = 0.9,
                                      .beta2 = 0.99,
                                      .eps = 1e-6,
                                      .weight_decay = 0.1,
                                      .decoupled = decoupled,
                                      .step = 7};
      const OwnedTensor w = random_tensor(shape, DType::f32, 1);
      const OwnedTensor first = random_tensor(shape, DType::f32, 2);
      const OwnedTensor second = random_tensor(shape, DType::f32, 3, 0, 1);
      const OwnedTensor grad = random_tensor(shape, type, 4);
      const OwnedTensor copy(shape, is_16_bit(type) ? type : DType::f16);
      const OwnedTensor state({kLossScaleSize}, DType::f32, {scale, 0, 0, 0});
      Values wanted = w.values(), m = first.values(), v = second.values(), g = grad.values();
      for (double& value : g) value /= scale;
      reference::adam(s, wanted, g, m, v);
      adam_step(c, {.w = w,
                    .grad = grad,
                    .exp_avg = first,
                    .exp_avg_sq = second,
                    .copy = is_16_bit(type) ? copy.view() : Tensor{},
                    .loss_scale = state,
                    .lr = s.lr,
                    .beta1 = s.beta1,
                    .beta2 = s.beta2,
                    .eps = s.eps,
                    .weight_decay = s.weight_decay,
                    .decoupled = s.decoupled,
                    .step = s.step});
      // As in f32: the division by a power of two is exact.
      EXPECT_TRUE(close_to(w, wanted, 2e-6));
      EXPECT_TRUE(close_to(first, m, 2e-6));
      EXPECT_TRUE(close_to(second, v, 2e-6));
      EXPECT_TRUE(w.guards_intact() && copy.guards_intact());
      if (is_16_bit(type)) {
        EXPECT_TRUE(elementwise_close_to(copy, rounded(w.values(), type), 0));
      }
    }
}

TEST(AdamStep, OnTheCpuACopyIsTheWeightRounded) {
  KILN_CPU_ONLY("devices have copies beside 16-bit gradients");
  expect_copy_is_weight_rounded([](Context& c, const Tensor& w, const Tensor& grad,
                                   const Tensor& first, const Tensor& second, const Tensor& copy) {
    adam_step(
        c, {.w = w, .grad = grad, .exp_avg = first, .exp_avg_sq = second, .copy = copy, .lr = 0.1});
  });
}

TEST(AdamStep, AFoundInfinityLeavesEverythingAsItWas) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  TestContext c;
  for (const double found : {0.0, 1.0}) {
    const OwnedTensor w = random_tensor({37}, DType::f32, 1),
                      grad = random_tensor({37}, DType::f16, 2);
    const OwnedTensor first = random_tensor({37}, DType::f32, 3);
    const OwnedTensor second = random_tensor({37}, DType::f32, 4, 0, 1);
    const OwnedTensor copy = random_tensor({37}, DType::f16, 5);
    const OwnedTensor state({kLossScaleSize}, DType::f32, {8, 0, found, 0});
    const Values before[] = {w.values(), first.values(), second.values(), copy.values()};
    adam_step(c, {.w = w,
                  .grad = grad,
                  .exp_avg = first,
                  .exp_avg_sq = second,
                  .copy = copy,
                  .loss_scale = state,
                  .lr = 0.1});
    EXPECT_EQ(w.values() == before[0], found != 0);
    EXPECT_EQ(first.values() == before[1], found != 0);
    EXPECT_EQ(second.values() == before[2], found != 0);
    EXPECT_EQ(copy.values() == before[3], found != 0);
  }
}

double number(const golden::GoldenCase& k, const char* name, double absent = 0,
              std::size_t place = 0) {
  const auto found = k.numbers.find(name);
  return found == k.numbers.end() ? absent : found->second.at(place);
}

void run_golden(const golden::GoldenCase& k, DType dtype, const Values& start,
                const Values& gradients, const Values& after) {
  const Shape shape{static_cast<std::int64_t>(start.size())};
  TestContext c;
  OwnedTensor w(shape, dtype, start), first(shape, dtype, Values(start.size(), 0.0)),
      second(shape, dtype, Values(start.size(), 0.0));
  for (std::size_t step = 0; step * start.size() < after.size(); ++step) {
    const auto begin = static_cast<std::ptrdiff_t>(step * start.size());
    const auto end = begin + static_cast<std::ptrdiff_t>(start.size());
    const OwnedTensor grad(shape, dtype,
                           Values(gradients.begin() + begin, gradients.begin() + end));
    adam_step(c, {.w = w,
                  .grad = grad,
                  .exp_avg = first,
                  .exp_avg_sq = second,
                  .lr = number(k, "lr"),
                  .beta1 = number(k, "betas", 0, 0),
                  .beta2 = number(k, "betas", 0, 1),
                  .eps = number(k, "eps"),
                  .weight_decay = number(k, "weight_decay"),
                  .decoupled = k.name.rfind("adamw.", 0) == 0,
                  .step = static_cast<std::int64_t>(step) + 1});
    const OwnedTensor wanted(shape, dtype, Values(after.begin() + begin, after.begin() + end));
    if (dtype == DType::f64)
      EXPECT_TRUE(bitwise_equal(w, wanted)) << "step " << step;
    else
      EXPECT_LE(worst_ulp_distance<float>(w, wanted), 2) << "step " << step;
  }
}

// PyTorch's own runs: ten steps from the same start. f64: every bit alike. f32: within 2 ulp,
// because PyTorch's float square root there is MKL's, which is up to 1 ulp off; ours is rounded
// correctly.
TEST(AdamStep, EqualsPyTorch) {
  const golden::GoldenFile file("optimizers");
  const Values start = file.at("start").values, gradients = file.at("gradients").values;
  int case_count = 0;
  for (const golden::GoldenCase& k : file.cases()) {
    if (k.name.rfind("adam", 0) != 0) continue;
    SCOPED_TRACE(k.name);
    ++case_count;
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Values after =
          file.at(k.name + (dtype == DType::f32 ? "/after_f32" : "/after_f64")).values;
      run_golden(k, dtype, start, gradients, after);
    }
  }
  EXPECT_GE(case_count, 3);
}

TEST(AdamStep, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor w({4}, DType::f32);
  const auto run = [&](double beta1, std::int64_t step) {
    adam_step(c, {.w = w, .grad = w, .exp_avg = w, .exp_avg_sq = w, .beta1 = beta1, .step = step});
  };
  EXPECT_THROW(run(0.9, 0), Error);
  EXPECT_THROW(run(1.0, 1), Error);
  EXPECT_THROW(run(-0.1, 1), Error);
}

// kernels/common/normal_or_zero.h
TEST(AdamStep, AMeanThatWouldBeSubnormalIsZero) {
  TestContext context;
  const Shape shape{21};
  const Values ones(21, 1), zeros(21, 0), small(21, 0x1p-126);
  OwnedTensor w(shape, DType::f32, ones), grad(shape, DType::f32, zeros);
  OwnedTensor mean(shape, DType::f32, small), other(shape, DType::f32, ones);
  adam_step(context, {.w = w, .grad = grad, .exp_avg = mean, .exp_avg_sq = other, .beta1 = 0.75});
  EXPECT_EQ(mean.values(), zeros);
}

}  // namespace
}  // namespace kiln::test
