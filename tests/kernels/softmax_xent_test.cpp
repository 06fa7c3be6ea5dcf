#include "kernels/include/softmax_xent.h"

#include <gtest/gtest.h>

#include "kernels/include/loss_scale_update.h"
#include "tests/reference/softmax_xent.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

// exp and log within 2 ulp, sums of K terms, relative to the largest loss or gradient of the batch.
constexpr Tolerance kTolerance{1e-6, 4e-15};

// loss, hit, dz
Results run_xent(Context& c, DType dtype, const Shape& shape, const Values& z, const Values& t,
                 double smoothing, bool with_gradient = true) {
  const OwnedTensor scores(shape, dtype, z), labels({shape[0]}, DType::i32, t);
  Results results;
  results.emplace_back(Shape{shape[0]}, accumulation_type(dtype));
  results.emplace_back(Shape{shape[0]}, DType::i32);
  if (with_gradient) results.emplace_back(shape, dtype);
  softmax_xent(c, {.z = scores,
                   .t = labels,
                   .loss = results[0],
                   .hit = results[1],
                   .dz = with_gradient ? results[2].view() : Tensor{},
                   .label_smoothing = smoothing,
                   .scale = 1.0 / 64});
  return results;
}

TEST(SoftmaxXent, MatchesTheOracle) {
  const std::int64_t rows = kWithSanitizer ? 601 : 3001;
  for (const Shape& shape : std::vector<Shape>{
           {1, 1}, {3, 2}, {4, 10}, {64, 10}, {17, 16}, {5, 17}, {2, 1000}, {rows, 10}, {33, 100}})
    for (const double smoothing : {0.0, 0.1}) {
      SCOPED_TRACE(to_string(shape));
      const auto classes = static_cast<std::size_t>(shape[1]);
      const Values z = random_tensor(shape, DType::f32, 1, -6, 6).values();
      const Values t =
          random_integers({shape[0]}, DType::i32, 2, static_cast<std::uint32_t>(classes)).values();
      const bool gradient = smoothing == 0;
      const auto wanted = [&](DType dtype) {
        const auto of = reference::softmax_xent(rounded(z, dtype), t, classes, smoothing, 1.0 / 64);
        std::vector<Values> all{of.loss, of.hit};
        if (gradient) all.push_back(of.dz);
        return all;
      };
      const auto run = [&](Context& c, DType dtype) {
        return run_xent(c, dtype, shape, z, t, smoothing, gradient);
      };
      if (test_device().is_host())  // which takes widened scores only
        check_op(run, wanted(DType::f32), kTolerance);
      else
        check_op_in_all_types(run, wanted, kTolerance);
    }
}

TEST(SoftmaxXent, SmoothingHasAGradientToo) {
  TestContext c;
  const Shape shape{50, 10};
  const Values z = random_tensor(shape, DType::f32, 1, -6, 6).values();
  const Values t = random_integers({50}, DType::i32, 2, 10).values();
  const auto wanted = reference::softmax_xent(z, t, 10, 0.2, 1.0 / 64);
  EXPECT_TRUE(close_to(run_xent(c, DType::f32, shape, z, t, 0.2)[2], wanted.dz, 1e-6));
}

TEST(SoftmaxXent, TheLossScaleMultipliesTheGradientAlone) {
  TestContext c;
  const Shape shape{33, 10};
  const Values z = random_tensor(shape, DType::f32, 1, -6, 6).values();
  const OwnedTensor scores(shape, DType::f32, z);
  const OwnedTensor labels = random_integers({33}, DType::i32, 2, 10);
  const OwnedTensor state({kLossScaleSize}, DType::f32, {1024, 0, 0, 0});
  const OwnedTensor loss({33}, DType::f32), hit({33}, DType::i32), dz(shape, DType::f32);
  const auto run = [&] {
    softmax_xent(
        c, {.z = scores, .t = labels, .loss = loss, .hit = hit, .dz = dz, .loss_scale = state});
  };
  if (test_device().is_host()) {
    EXPECT_THROW(run(), Error);
    return;
  }
  run();
  const auto wanted = reference::softmax_xent(z, labels.values(), 10, 0, 1024);
  EXPECT_TRUE(close_to(loss, wanted.loss, 1e-6));
  EXPECT_TRUE(close_to(dz, wanted.dz, 1e-6));
}

TEST(SoftmaxXent, TheFirstOfEqualScoresIsTheAnswer) {
  TestContext c;
  const Values z{1, 2, 2, 0, 2, 2, 1, 1, 1}, t{2, 1, 0};
  for (const DType dtype : {DType::f32, DType::f64})
    EXPECT_EQ(run_xent(c, dtype, {3, 3}, z, t, 0)[1].values(), (Values{0, 1, 1}));
}

TEST(SoftmaxXent, SurvivesLargeScoresAndKeepsNan) {
  TestContext c;
  const double inf = std::numeric_limits<double>::infinity();
  const Values z{1e30, -1e30, 0, 200, 100, 0, std::nan(""), 5, 1, 3, std::nan(""), 1, 0, -inf, 2};
  const Values t{0, 0, 1, 0, 2};
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double smoothing : {0.0, 0.1}) {
      const OwnedTensor rounded({5, 3}, dtype, z);
      const auto wanted = reference::softmax_xent(rounded.values(), t, 3, smoothing, 1.0 / 64);
      const Results got = run_xent(c, dtype, {5, 3}, z, t, smoothing);
      EXPECT_TRUE(elementwise_close_to(got[0], wanted.loss, 1e-6, 1));
      EXPECT_TRUE(elementwise_close_to(got[1], wanted.hit, 0));
      EXPECT_TRUE(elementwise_close_to(got[2], wanted.dz, 1e-6, 1));
    }
}

TEST(SoftmaxXent, RefusesLabelsOutOfRangeBeforeWriting) {
  KILN_CPU_ONLY("labels in device memory are checked before they are sent");
  TestContext c;
  for (const double label : {-1.0, 3.0}) {
    const OwnedTensor z({2, 3}, DType::f32, Values(6, 0.0)), t({2}, DType::i32, {0, label});
    OwnedTensor loss({2}, DType::f32), hit({2}, DType::i32), dz({2, 3}, DType::f32);
    EXPECT_THROW(softmax_xent(c, {.z = z, .t = t, .loss = loss, .hit = hit, .dz = dz}), Error);
    EXPECT_TRUE(std::isnan(loss.at(0)) && std::isnan(dz.at(0)));
  }
}

TEST(SoftmaxXent, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{7, 10};
  const Values z = random_tensor(shape, DType::f64, 1, -3, 3).values();
  const Values t = random_integers({7}, DType::i32, 2, 10).values();
  for (const double smoothing : {0.0, 0.1}) {
    const Functional f = [&](const Values& v) {
      return dot(run_xent(c, DType::f64, shape, v, t, smoothing)[0].values(), Values(7, 1.0 / 64));
    };
    EXPECT_LT(gradient_error(f, z, run_xent(c, DType::f64, shape, z, t, smoothing)[2].values()),
              1e-6);
  }
}

}  // namespace
}  // namespace kiln::test
