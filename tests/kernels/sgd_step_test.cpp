#include "kernels/include/sgd_step.h"

#include <gtest/gtest.h>

#include "kernels/include/loss_scale_update.h"
#include "tests/golden/golden.h"
#include "tests/kernels/weight_copy.h"
#include "tests/reference/sgd_step.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

// w, momentum buffer
Results run_sgd(Context& c, DType dtype, const Shape& shape, const reference::SgdSettings& s) {
  Results results;
  results.push_back(random_tensor(shape, dtype, 1));
  results.push_back(random_tensor(shape, dtype, 2));
  const OwnedTensor grad = random_tensor(shape, dtype, 3);
  // The first step must not read the buffer.
  if (s.first_step && s.momentum != 0) results[1].spoil();
  sgd_step(c, {.w = results[0],
               .grad = grad,
               .momentum_buffer = s.momentum != 0 ? results[1].view() : Tensor{},
               .lr = s.lr,
               .momentum = s.momentum,
               .dampening = s.dampening,
               .weight_decay = s.weight_decay,
               .nesterov = s.nesterov,
               .first_step = s.first_step});
  return results;
}

TEST(SgdStep, MatchesTheOracle) {
  const reference::SgdSettings settings[] = {
      {.lr = 0.1},
      {.lr = 0.1, .weight_decay = 0.01},
      {.lr = 0.1, .momentum = 0.9, .first_step = true},
      {.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4},
      {.lr = 0.1, .momentum = 0.9, .dampening = 0.5},
      {.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true},
      {.lr = 0.1, .momentum = 0.9, .nesterov = true, .first_step = true}};
  for (const Shape& shape : elementwise_shapes())
    for (const auto& s : settings) {
      SCOPED_TRACE(to_string(shape));
      Values w = random_tensor(shape, DType::f32, 1).values();
      Values buffer = random_tensor(shape, DType::f32, 2).values();
      reference::sgd(s, w, random_tensor(shape, DType::f32, 3).values(), buffer);
      // Four fused roundings, numbers such as 0.1 rounded to float.
      check_op([&](Context& c, DType dtype) { return run_sgd(c, dtype, shape, s); }, {w, buffer},
               {4e-7, 1e-15});
    }
}

// A gradient in two parts is their sum, to the bit.
TEST(SgdStep, AddsTheRestOfAGradient) {
  if (!test_device().is_host()) GTEST_SKIP() << "only the CPU trains a batch in parts";
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double momentum : {0.0, 0.9})
      for (const std::int64_t count : {5, 64, 70'001}) {
        TestContext c;
        const OwnedTensor one = random_tensor({count}, dtype, 3),
                          other = random_tensor({count}, dtype, 4);
        OwnedTensor sum({count}, dtype);
        for (std::int64_t i = 0; i < count; ++i)
          sum.set(i, one.at(i) + other.at(i));  // rounded to float where it is one
        const auto step = [&](const Tensor& grad, const Tensor& rest) {
          const OwnedTensor w = random_tensor({count}, dtype, 1),
                            buffer = random_tensor({count}, dtype, 2);
          sgd_step(c, {.w = w,
                       .grad = grad,
                       .grad_rest = rest,
                       .momentum_buffer = momentum != 0 ? buffer.view() : Tensor{},
                       .lr = 0.1,
                       .momentum = momentum,
                       .weight_decay = 5e-4});
          return std::pair(w.values(), buffer.values());
        };
        EXPECT_EQ(step(one, other), step(sum, {}));
        EXPECT_NE(step(one, other), step(one, {}));
      }
}

// A momentum whose gradient stays away shrinks to nothing instead of standing still among the
// subnormal numbers, where every step would take x86 cores a hundred times as long.
TEST(SgdStep, AMeanThatWouldBeSubnormalIsZero) {
  for (const std::int64_t count : {5, 64}) {
    TestContext context;
    OwnedTensor w(Shape{count}, DType::f32), grad(Shape{count}, DType::f32);
    OwnedTensor buffer(Shape{count}, DType::f32);
    for (std::int64_t i = 0; i < count; ++i) {
      w.set(i, 1);
      grad.set(i, 0);
      buffer.set(i, i % 2 == 0 ? 0x1p-126 : -0x1p-125);
    }
    const auto step = [&] {
      sgd_step(context,
               {.w = w, .grad = grad, .momentum_buffer = buffer, .lr = 0.1, .momentum = 0.75});
    };
    step();
    for (std::int64_t i = 0; i < count; ++i)
      EXPECT_EQ(buffer.at(i), i % 2 == 0 ? 0 : -0x1.8p-126) << i;
    for (int more = 0; more < 2; ++more) step();  // 0.75^3 2^-125 is below 2^-126
    for (std::int64_t i = 0; i < count; ++i) EXPECT_EQ(buffer.at(i), 0) << i;
  }
}

// The type of the gradient, and what it was scaled by.
struct MixedCase {
  DType grad;
  double scale;
};

TEST(SgdStep, MixedPrecisionMatchesTheOracle) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  const reference::SgdSettings s{
      .lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true};
  TestContext c;
  for (const Shape& shape : elementwise_shapes())
    for (const auto& [type, scale] :
         {MixedCase{DType::bf16, 1}, MixedCase{DType::f16, 1024}, MixedCase{DType::f32, 1024}}) {
      SCOPED_TRACE(to_string(shape) + std::string(name_of(type)));
      const bool copies = is_16_bit(type);
      OwnedTensor w = random_tensor(shape, DType::f32, 1);
      OwnedTensor buffer = random_tensor(shape, DType::f32, 2);
      const OwnedTensor grad = random_tensor(shape, type, 3);
      const OwnedTensor copy(shape, copies ? type : DType::f16);
      const OwnedTensor state({kLossScaleSize}, DType::f32, {scale, 0, 0, 0});
      Values wanted = w.values(), wanted_buffer = buffer.values(), unscaled = grad.values();
      for (double& g : unscaled) g /= scale;
      reference::sgd(s, wanted, unscaled, wanted_buffer);
      sgd_step(c, {.w = w,
                   .grad = grad,
                   .momentum_buffer = buffer,
                   .copy = copies ? copy.view() : Tensor{},
                   .loss_scale = state,
                   .lr = s.lr,
                   .momentum = s.momentum,
                   .weight_decay = s.weight_decay,
                   .nesterov = s.nesterov});
      // As in f32: the division by a power of two is exact.
      EXPECT_TRUE(close_to(w, wanted, 4e-7));
      EXPECT_TRUE(close_to(buffer, wanted_buffer, 4e-7));
      if (copies) {
        EXPECT_TRUE(elementwise_close_to(copy, rounded(w.values(), type), 0));
      }
    }
}

TEST(SgdStep, OnTheCpuACopyIsTheWeightRounded) {
  KILN_CPU_ONLY("devices have copies beside 16-bit gradients");
  expect_copy_is_weight_rounded([](Context& c, const Tensor& w, const Tensor& grad,
                                   const Tensor& first, const Tensor&, const Tensor& copy) {
    sgd_step(
        c,
        {.w = w, .grad = grad, .momentum_buffer = first, .copy = copy, .lr = 0.1, .momentum = 0.9});
  });
}

TEST(SgdStep, AFoundInfinityLeavesEverythingAsItWas) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  TestContext c;
  for (const double found : {0.0, 1.0}) {
    const OwnedTensor w = random_tensor({37}, DType::f32, 1),
                      grad = random_tensor({37}, DType::f16, 3);
    const OwnedTensor buffer = random_tensor({37}, DType::f32, 2);
    const OwnedTensor copy = random_tensor({37}, DType::f16, 4);
    const OwnedTensor state({kLossScaleSize}, DType::f32, {8, 0, found, 0});
    const Values before[] = {w.values(), buffer.values(), copy.values()};
    sgd_step(c, {.w = w,
                 .grad = grad,
                 .momentum_buffer = buffer,
                 .copy = copy,
                 .loss_scale = state,
                 .lr = 0.1,
                 .momentum = 0.9});
    EXPECT_EQ(w.values() == before[0], found != 0);
    EXPECT_EQ(buffer.values() == before[1], found != 0);
    EXPECT_EQ(copy.values() == before[2], found != 0);
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
  OwnedTensor w(shape, dtype, start), buffer(shape, dtype);
  const double momentum = number(k, "momentum");
  for (std::size_t step = 0; step * start.size() < after.size(); ++step) {
    const auto begin = static_cast<std::ptrdiff_t>(step * start.size());
    const auto end = begin + static_cast<std::ptrdiff_t>(start.size());
    const OwnedTensor grad(shape, dtype,
                           Values(gradients.begin() + begin, gradients.begin() + end));
    sgd_step(c, {.w = w,
                 .grad = grad,
                 .momentum_buffer = momentum != 0 ? buffer.view() : Tensor{},
                 .lr = number(k, "lr"),
                 .momentum = momentum,
                 .dampening = number(k, "dampening"),
                 .weight_decay = number(k, "weight_decay"),
                 .nesterov = number(k, "nesterov") != 0,
                 .first_step = step == 0});
    const OwnedTensor wanted(shape, dtype, Values(after.begin() + begin, after.begin() + end));
    EXPECT_TRUE(bitwise_equal(w, wanted)) << name_of(dtype) << ", step " << step;
  }
}

// PyTorch's own runs: ten steps from the same start, every bit alike in both precisions.
TEST(SgdStep, EqualsPyTorchBitForBit) {
  const golden::GoldenFile file("optimizers");
  const Values start = file.at("start").values, gradients = file.at("gradients").values;
  int case_count = 0;
  for (const golden::GoldenCase& k : file.cases()) {
    if (k.name.rfind("sgd.", 0) != 0) continue;
    SCOPED_TRACE(k.name);
    ++case_count;
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Values after =
          file.at(k.name + (dtype == DType::f32 ? "/after_f32" : "/after_f64")).values;
      run_golden(k, dtype, start, gradients, after);
    }
  }
  EXPECT_GE(case_count, 7);
}

TEST(SgdStep, KeepsNan) {
  TestContext c;
  OwnedTensor w({3}, DType::f32, {1, 2, 3});
  const OwnedTensor grad({3}, DType::f32, {0, std::nan(""), 0});
  sgd_step(c, {.w = w, .grad = grad, .momentum_buffer = {}, .lr = 0.1});
  EXPECT_TRUE(elementwise_close_to(w, {1, std::nan(""), 3}, 0));
}

TEST(SgdStep, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor w({4}, DType::f32), grad({5}, DType::f32);
  EXPECT_THROW(sgd_step(c, {.w = w, .grad = grad, .momentum_buffer = {}}), Error);
  EXPECT_THROW(sgd_step(c, {.w = w, .grad = w, .momentum_buffer = {}, .momentum = 0.9}), Error);
  EXPECT_THROW(sgd_step(c, {.w = w, .grad = w, .momentum_buffer = w, .nesterov = true}), Error);
}

}  // namespace
}  // namespace kiln::test
