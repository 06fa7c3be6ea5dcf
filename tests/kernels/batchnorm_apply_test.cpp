#include "kernels/include/batchnorm_apply.h"

#include <gtest/gtest.h>

#include "kernels/include/batchnorm_train.h"
#include "tests/kernels/batchnorm_inputs.h"
#include "tests/reference/batchnorm_apply.h"
#include "tests/reference/gelu.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu};

// gamma and beta of the inputs stand for scale and shift, x of row 0 for the mean.
Values mean_values(const BatchnormInputs& in) {
  const Values x = in.x.values();
  return {x.begin(), x.begin() + in.x.shape()[-1]};
}

OwnedTensor apply(Context& c, const BatchnormInputs& in, Activation activation) {
  const OwnedTensor mean({in.x.shape()[-1]}, in.gamma.dtype(), mean_values(in));
  OwnedTensor y(in.x.shape(), in.x.dtype());
  batchnorm_apply(c, {.x = in.x,
                      .mean = mean,
                      .scale = in.gamma,
                      .shift = in.beta,
                      .y = y,
                      .activation = activation});
  return y;
}

Values wanted_values(const BatchnormInputs& in, Activation activation) {
  const Values y = reference::batchnorm_apply(in.x.values(), mean_values(in), in.gamma.values(),
                                              in.beta.values());
  if (activation == Activation::gelu) return reference::gelu(y);
  return activation == Activation::relu ? reference::relu(y) : y;
}

TEST(BatchnormApply, MatchesTheOracle) {
  for (const Shape& shape : batchnorm_shapes())
    for (const Activation activation : kActivations) {
      SCOPED_TRACE(to_string(shape));
      check_op_in_all_types(
          [&](Context& c, DType dtype) {
            return results_of(apply(c, BatchnormInputs(shape, dtype), activation));
          },
          [&](DType dtype) {
            return std::vector<Values>{wanted_values(BatchnormInputs(shape, dtype), activation)};
          },
          {3e-7, 1e-15});  // a rounded difference and one fused multiply-add
    }
}

// What batchnorm_train makes of `in` with numbers to keep or without.
struct Trained {
  OwnedTensor y, mean, inv_std, scale, shift;

  Trained(Context& c, const BatchnormInputs& in, Activation activation, bool keep)
      : y(in.x.shape(), in.x.dtype()),
        mean({in.x.shape()[-1]}, in.gamma.dtype()),
        inv_std(mean.shape(), mean.dtype()),
        scale(mean.shape(), mean.dtype()),
        shift(mean.shape(), mean.dtype()) {
    const auto scratch_bytes =
        static_cast<std::int64_t>(batchnorm_train_scratch_bytes(c, in.x.shape(), in.x.dtype()));
    const OwnedTensor scratch({scratch_bytes}, DType::u8);
    batchnorm_train(c, {.x = in.x,
                        .gamma = in.gamma,
                        .beta = in.beta,
                        .y = y,
                        .saved_mean = mean,
                        .saved_inv_std = inv_std,
                        .saved_scale = keep ? scale.view() : Tensor{},
                        .saved_shift = keep ? shift.view() : Tensor{},
                        .activation = activation,
                        .scratch = static_cast<std::byte*>(scratch.view().raw())});
    EXPECT_TRUE(scratch.guards_intact());
  }
};

TEST(BatchnormApply, HasTheBitsOfTheTrainingPassThatKeptItsNumbers) {
  TestContext c(2);
  for (const Shape& shape : batchnorm_shapes())
    for (const DType dtype : storage_types())
      for (const Activation activation : kActivations) {
        const BatchnormInputs in(shape, dtype);
        const Trained kept(c, in, activation, true), plain(c, in, activation, false);
        const OwnedTensor again(shape, dtype);
        batchnorm_apply(c, {.x = in.x,
                            .mean = kept.mean,
                            .scale = kept.scale,
                            .shift = kept.shift,
                            .y = again,
                            .activation = activation});
        EXPECT_TRUE(bitwise_equal(again, kept.y)) << to_string(shape);
        EXPECT_TRUE(bitwise_equal(plain.y, kept.y)) << to_string(shape);
      }
}

TEST(BatchnormApply, WorksInPlace) {
  TestContext c(2);
  const BatchnormInputs in({50, 6}, DType::f32);
  const Values wanted = wanted_values(in, Activation::none);
  const OwnedTensor mean({6}, DType::f32, mean_values(in));
  batchnorm_apply(c, {.x = in.x, .mean = mean, .scale = in.gamma, .shift = in.beta, .y = in.x});
  EXPECT_TRUE(close_to(in.x, wanted, 3e-7));
}

TEST(BatchnormApply, NanStaysInItsPlace) {
  TestContext c(2);
  for (const DType dtype : {DType::f32, DType::f64}) {
    BatchnormInputs in({30, 3}, dtype);
    in.x.set(31, std::nan(""));
    const OwnedTensor y = apply(c, in, Activation::relu);
    for (std::int64_t i = 0; i < 90; ++i) EXPECT_EQ(std::isnan(y.at(i)), i == 31) << i;
  }
}

TEST(BatchnormApply, RefusesWhatDoesNotFit) {
  TestContext c;
  BatchnormInputs in({4, 3}, DType::f32);
  in.gamma = OwnedTensor({4}, DType::f32);
  EXPECT_THROW(apply(c, in, Activation::none), Error);
  const BatchnormInputs whole({4, 3}, DType::f32);
  EXPECT_THROW(
      batchnorm_apply(
          c, {.x = whole.x, .mean = {}, .scale = whole.gamma, .shift = whole.beta, .y = whole.x}),
      Error);
}

}  // namespace
}  // namespace kiln::test
