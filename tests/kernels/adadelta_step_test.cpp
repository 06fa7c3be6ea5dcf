#include "kernels/include/adadelta_step.h"

#include <gtest/gtest.h>

#include "kernels/include/loss_scale_update.h"
#include "tests/golden/golden.h"
#include "tests/kernels/weight_copy.h"
#include "tests/reference/adadelta_step.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

TEST(AdadeltaStep, MatchesTheOracle) {
  for (const Shape& shape : elementwise_shapes())
    for (const double decay : {0.0, 0.01}) {
      SCOPED_TRACE(to_string(shape));
      const auto run = [&](Context& c, DType dtype) {
        Results results;
        results.push_back(random_tensor(shape, dtype, 1));
        results.push_back(random_tensor(shape, dtype, 2, 0, 1));
        results.push_back(random_tensor(shape, dtype, 3, 0, 1));
        const OwnedTensor grad = random_tensor(shape, dtype, 4);
        adadelta_step(c, {.w = results[0],
                          .grad = grad,
                          .square_avg = results[1],
                          .acc_delta = results[2],
                          .lr = 0.5,
                          .rho = 0.9,
                          .eps = 1e-6,
                          .weight_decay = decay});
        return results;
      };
      Values w = random_tensor(shape, DType::f32, 1).values();
      Values square = random_tensor(shape, DType::f32, 2, 0, 1).values();
      Values acc = random_tensor(shape, DType::f32, 3, 0, 1).values();
      reference::adadelta(0.5, 0.9, 1e-6, decay, w, random_tensor(shape, DType::f32, 4).values(),
                          square, acc);
      // A dozen roundings, numbers such as 0.9 rounded to float.
      check_op(run, {w, square, acc}, {2e-6, 4e-15});
    }
}

TEST(AdadeltaStep, OnTheCpuACopyIsTheWeightRounded) {
  KILN_CPU_ONLY("devices have copies beside 16-bit gradients");
  expect_copy_is_weight_rounded([](Context& c, const Tensor& w, const Tensor& grad,
                                   const Tensor& first, const Tensor& second, const Tensor& copy) {
    adadelta_step(c,
                  {.w = w, .grad = grad, .square_avg = first, .acc_delta = second, .copy = copy});
  });
}

TEST(AdadeltaStep, MixedPrecisionMatchesTheOracle) {
  if (test_device().is_host()) GTEST_SKIP() << "gradients of 16 bits are not the CPU's";
  TestContext c;
  for (const Shape& shape : elementwise_shapes())
    for (const DType type : {DType::bf16, DType::f16, DType::f32})
      for (const bool found : {false, true}) {
        SCOPED_TRACE(to_string(shape) + std::string(name_of(type)));
        const double scale = type == DType::bf16 ? 1 : 1024;
        const OwnedTensor w = random_tensor(shape, DType::f32, 1);
        const OwnedTensor square = random_tensor(shape, DType::f32, 2, 0, 1);
        const OwnedTensor acc = random_tensor(shape, DType::f32, 3, 0, 1);
        const OwnedTensor grad = random_tensor(shape, type, 4);
        const OwnedTensor copy(shape, is_16_bit(type) ? type : DType::f16);
        const OwnedTensor state({kLossScaleSize}, DType::f32, {scale, 0, found ? 1.0 : 0.0, 0});
        Values wanted = w.values(), s = square.values(), a = acc.values(), g = grad.values();
        for (double& value : g) value /= scale;
        // A gradient that was not finite leaves everything as it was.
        if (!found) reference::adadelta(0.5, 0.9, 1e-6, 0.01, wanted, g, s, a);
        adadelta_step(c, {.w = w,
                          .grad = grad,
                          .square_avg = square,
                          .acc_delta = acc,
                          .copy = is_16_bit(type) ? copy.view() : Tensor{},
                          .loss_scale = state,
                          .lr = 0.5,
                          .rho = 0.9,
                          .eps = 1e-6,
                          .weight_decay = 0.01});
        // As in f32: the division by a power of two is exact.
        EXPECT_TRUE(close_to(w, wanted, found ? 0 : 2e-6));
        EXPECT_TRUE(close_to(square, s, found ? 0 : 2e-6));
        EXPECT_TRUE(close_to(acc, a, found ? 0 : 2e-6));
        if (is_16_bit(type) && !found) {
          EXPECT_TRUE(elementwise_close_to(copy, rounded(w.values(), type), 0));
        }
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
  OwnedTensor w(shape, dtype, start), square(shape, dtype, Values(start.size(), 0.0)),
      acc(shape, dtype, Values(start.size(), 0.0));
  for (std::size_t step = 0; step * start.size() < after.size(); ++step) {
    const auto begin = static_cast<std::ptrdiff_t>(step * start.size());
    const auto end = begin + static_cast<std::ptrdiff_t>(start.size());
    const OwnedTensor grad(shape, dtype,
                           Values(gradients.begin() + begin, gradients.begin() + end));
    adadelta_step(c, {.w = w,
                      .grad = grad,
                      .square_avg = square,
                      .acc_delta = acc,
                      .lr = number(k, "lr"),
                      .rho = number(k, "rho"),
                      .eps = number(k, "eps"),
                      .weight_decay = number(k, "weight_decay")});
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
TEST(AdadeltaStep, EqualsPyTorch) {
  const golden::GoldenFile file("optimizers");
  const Values start = file.at("start").values, gradients = file.at("gradients").values;
  int case_count = 0;
  for (const golden::GoldenCase& k : file.cases()) {
    if (k.name.rfind("adadelta.", 0) != 0) continue;
    SCOPED_TRACE(k.name);
    ++case_count;
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Values after =
          file.at(k.name + (dtype == DType::f32 ? "/after_f32" : "/after_f64")).values;
      run_golden(k, dtype, start, gradients, after);
    }
  }
  EXPECT_GE(case_count, 2);
}

// kernels/common/normal_or_zero.h
TEST(AdadeltaStep, AMeanThatWouldBeSubnormalIsZero) {
  TestContext context;
  const Shape shape{21};
  const Values ones(21, 1), zeros(21, 0), small(21, 0x1p-126);
  OwnedTensor w(shape, DType::f32, ones), grad(shape, DType::f32, zeros);
  OwnedTensor mean(shape, DType::f32, small), other(shape, DType::f32, ones);
  adadelta_step(context,
                {.w = w, .grad = grad, .square_avg = mean, .acc_delta = other, .rho = 0.75});
  EXPECT_EQ(mean.values(), zeros);
}

}  // namespace
}  // namespace kiln::test
