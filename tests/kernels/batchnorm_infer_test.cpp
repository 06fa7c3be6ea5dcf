#include "kernels/include/batchnorm_infer.h"

#include <cstring>
#include <gtest/gtest.h>

#include "tests/kernels/batchnorm_inputs.h"
#include "tests/reference/batchnorm_infer.h"
#include "tests/reference/gelu.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"

namespace kiln::test {
namespace {

constexpr double kEpsilon = 1e-5;

TEST(BatchnormInfer, MatchesTheOracle) {
  for (const Shape& shape : batchnorm_shapes())
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
      SCOPED_TRACE(to_string(shape));
      const auto run = [&](Context& c, DType dtype) {
        const BatchnormInputs in(shape, dtype);
        OwnedTensor y(shape, dtype);
        batchnorm_infer(c, {.x = in.x,
                            .gamma = in.gamma,
                            .beta = in.beta,
                            .running_mean = in.running_mean,
                            .running_var = in.running_var,
                            .y = y,
                            .epsilon = kEpsilon,
                            .activation = activation});
        return results_of(std::move(y));
      };
      const auto wanted = [&](DType dtype) {
        const BatchnormInputs in(shape, dtype);
        const Values y = reference::batchnorm_infer(
            in.x.values(), {in.running_mean.values(), in.running_var.values()}, in.gamma.values(),
            in.beta.values(), kEpsilon);
        if (activation == Activation::gelu) return std::vector<Values>{reference::gelu(y)};
        return std::vector<Values>{activation == Activation::relu ? reference::relu(y) : y};
      };
      // A rounded scale and shift and one fused multiply-add: 3 roundings of the largest.
      check_op_in_all_types(run, wanted, {3e-7, 1e-15});
    }
}

TEST(BatchnormInfer, LargeResultsHaveTheBitsOfSmallOnes) {
  KILN_CPU_ONLY("about stores past the host's caches");
  TestContext c(2);
  LargeTensor x, whole, pieces;
  const Shape channels{LargeTensor::shape()[1]};
  const OwnedTensor mean = random_tensor(channels, DType::f32, 1);
  const OwnedTensor variance = random_tensor(channels, DType::f32, 2, 0.5, 2);
  const auto infer = [&](const Tensor& from, const Tensor& to) {
    batchnorm_infer(c, {.x = from, .running_mean = mean, .running_var = variance, .y = to});
  };
  infer(x.view(), whole.view());
  const std::int64_t rows = LargeTensor::shape()[0], half = rows / 2;
  infer(x.rows(0, half), pieces.rows(0, half));
  infer(x.rows(half, rows - half), pieces.rows(half, rows - half));
  EXPECT_EQ(std::memcmp(whole.view().raw(), pieces.view().raw(), whole.view().size_bytes()), 0);
}

TEST(BatchnormInfer, WorksWithoutScaleAndShiftAndInPlace) {
  TestContext c(2);
  BatchnormInputs in({50, 6}, DType::f32);
  const Values wanted =
      reference::batchnorm_infer(in.x.values(), {in.running_mean.values(), in.running_var.values()},
                                 Values(6, 1.0), Values(6, 0.0), kEpsilon);
  batchnorm_infer(c, {.x = in.x,
                      .gamma = {},
                      .beta = {},
                      .running_mean = in.running_mean,
                      .running_var = in.running_var,
                      .y = in.x,
                      .epsilon = kEpsilon});
  EXPECT_TRUE(close_to(in.x, wanted, 3e-7));
}

}  // namespace
}  // namespace kiln::test
