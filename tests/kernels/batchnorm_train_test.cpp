#include "kernels/include/batchnorm_train.h"

#include <cstring>
#include <gtest/gtest.h>

#include "kernels/include/gelu.h"
#include "tests/kernels/batchnorm_inputs.h"
#include "tests/reference/batchnorm_train.h"
#include "tests/reference/gelu.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

constexpr double kEpsilon = 1e-5, kMomentum = 0.1;

struct Options {
  Activation activation = Activation::none;
  bool affine = true;
};

// y, saved mean, saved 1/deviation, running mean, running variance
Results run_train(Context& c, const BatchnormInputs& in, const Options& options) {
  const Shape channel_shape{in.x.shape()[-1]};
  const DType dtype = in.x.dtype();
  Results results;
  results.emplace_back(in.x.shape(), dtype);
  const DType wide = accumulation_type(dtype);
  results.emplace_back(channel_shape, wide);
  results.emplace_back(channel_shape, wide);
  results.emplace_back(channel_shape, wide, in.running_mean.values());
  results.emplace_back(channel_shape, wide, in.running_var.values());
  const auto scratch_bytes =
      static_cast<std::int64_t>(batchnorm_train_scratch_bytes(c, in.x.shape(), dtype));
  const OwnedTensor scratch({scratch_bytes}, DType::u8);
  batchnorm_train(c, {.x = in.x,
                      .gamma = options.affine ? in.gamma.view() : Tensor{},
                      .beta = options.affine ? in.beta.view() : Tensor{},
                      .y = results[0],
                      .saved_mean = results[1],
                      .saved_inv_std = results[2],
                      .running_mean = results[3],
                      .running_var = results[4],
                      .momentum = kMomentum,
                      .epsilon = kEpsilon,
                      .activation = options.activation,
                      .scratch = static_cast<std::byte*>(scratch.view().raw())});
  EXPECT_TRUE(scratch.guards_intact());
  return results;
}

std::vector<Values> wanted_train(const BatchnormInputs& in, const Options& options) {
  const Values x = in.x.values();
  const std::size_t channels = channels_of(in.x.shape());
  const auto rows = static_cast<double>(x.size() / channels);
  const auto state = reference::batch_statistics(x, channels);
  Values y = reference::batchnorm_apply(
      x, state, options.affine ? in.gamma.values() : Values(channels, 1.0),
      options.affine ? in.beta.values() : Values(channels, 0.0), kEpsilon);
  if (options.activation == Activation::relu) y = reference::relu(y);
  if (options.activation == Activation::gelu) y = reference::gelu(y);
  Values inv_std, mean, var;
  for (std::size_t i = 0; i < channels; ++i) {
    const auto at = static_cast<std::int64_t>(i);
    inv_std.push_back(1 / std::sqrt(state.variance[i] + kEpsilon));
    mean.push_back((1 - kMomentum) * in.running_mean.at(at) + kMomentum * state.mean[i]);
    var.push_back((1 - kMomentum) * in.running_var.at(at) +
                  kMomentum * state.variance[i] * rows / (rows - 1));
  }
  return {y, state.mean, inv_std, mean, var};
}

// f32: the statistics are exact to an ulp; y loses a rounding of x - mean, of scale, beta and the
// result, and up to 1e-6 of the deviation where two rows nearly agree.
constexpr Tolerance kTolerance{1e-6, 1e-13};

TEST(BatchnormTrain, MatchesTheOracle) {
  for (const Shape& shape : batchnorm_shapes())
    for (const Options& options :
         {Options{}, Options{Activation::relu, true}, Options{Activation::none, false},
          Options{Activation::gelu, true}, Options{Activation::gelu, false}}) {
      SCOPED_TRACE(to_string(shape));
      check_op_in_all_types(
          [&](Context& c, DType dtype) {
            return run_train(c, BatchnormInputs(shape, dtype), options);
          },
          [&](DType dtype) { return wanted_train(BatchnormInputs(shape, dtype), options); },
          kTolerance);
    }
}

// On the CPU the pass that does both forms the same floats in the same order as the two passes.
TEST(BatchnormTrain, GeluInTheSamePassHasTheBitsOfAPassOfItsOwn) {
  KILN_CPU_ONLY("devices round once in a pass, twice in two");
  TestContext c(2);
  for (const Shape& shape : batchnorm_shapes())
    for (const DType dtype : {DType::f32, DType::f64}) {
      const BatchnormInputs in(shape, dtype);
      const Results fused = run_train(c, in, {Activation::gelu, true});
      const Results plain = run_train(c, in, {Activation::none, true});
      gelu(c, {.x = plain[0], .y = plain[0]});
      const Tensor one = fused[0].view(), other = plain[0].view();
      EXPECT_EQ(std::memcmp(one.raw(), other.raw(), one.size_bytes()), 0) << to_string(shape);
    }
}

// Mean 10,000 and deviation 0.01: the case in which sums of squares in float lose everything.
TEST(BatchnormTrain, SurvivesAMeanFarFromZero) {
  const Shape shape{400, 5};
  BatchnormInputs single(shape, DType::f32), both(shape, DType::f64);
  for (std::int64_t i = 0; i < single.x.element_count(); ++i) {
    single.x.set(i, 10000 + 0.01 * (single.x.at(i) - 10));
    both.x.set(i, single.x.at(i));
  }
  TestContext c;
  const Results results = run_train(c, single, {});
  const auto wanted = wanted_train(both, {});
  EXPECT_TRUE(close_to(results[1], wanted[1], 1e-7));
  EXPECT_TRUE(close_to(results[2], wanted[2], 1e-6));
}

TEST(BatchnormTrain, NanStaysInItsChannel) {
  TestContext c(2);
  for (const DType dtype : {DType::f32, DType::f64}) {
    BatchnormInputs in({30, 3}, dtype);
    in.x.set(31, std::nan(""));  // row 10, channel 1
    const Results results = run_train(c, in, {});
    for (std::int64_t i = 0; i < 90; ++i) EXPECT_EQ(std::isnan(results[0].at(i)), i % 3 == 1) << i;
  }
}

TEST(BatchnormTrain, RefusesWhatDoesNotFit) {
  TestContext c;
  EXPECT_THROW(run_train(c, BatchnormInputs({1, 3}, DType::f32), {}), Error);
  BatchnormInputs in({4, 3}, DType::f32);
  in.gamma = OwnedTensor({4}, DType::f32);
  EXPECT_THROW(run_train(c, in, {}), Error);
}

}  // namespace
}  // namespace kiln::test
