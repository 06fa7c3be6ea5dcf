#include "kernels/include/batchnorm_grad.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>

#include "kernels/include/batchnorm_train.h"
#include "tests/kernels/batchnorm_inputs.h"
#include "tests/reference/batchnorm_grad.h"
#include "tests/reference/batchnorm_train.h"
#include "tests/reference/gelu.h"
#include "tests/reference/relu.h"
#include "tests/support/check_op.h"
#include "tests/support/grad_check.h"

namespace kiln::test {
namespace {

constexpr double kEpsilon = 1e-5;

struct Options {
  Activation activation = Activation::none;
  GradWrite mode = GradWrite::overwrite;
  bool accumulate_parameters = false;
};

// Everything that batchnorm_grad reads, as numbers that float holds exactly; x, y, dy and dx also
// as numbers of `storage`.
struct Inputs {
  Values x, y, gamma, beta, mean, inv_std, dy, dx_before, dgamma_before, dbeta_before;

  explicit Inputs(const Shape& shape, DType storage = DType::f64) {
    const auto to_float = [](const Values& v) {
      const Shape flat{static_cast<std::int64_t>(v.size())};
      return OwnedTensor(flat, DType::f32, v).values();
    };
    const BatchnormInputs in(shape, storage);
    x = in.x.values();
    gamma = in.gamma.values();
    beta = in.beta.values();
    const auto state = reference::batch_statistics(x, channels_of(shape));
    mean = to_float(state.mean);
    for (const double variance : state.variance)
      inv_std.push_back(1 / std::sqrt(variance + kEpsilon));
    inv_std = to_float(inv_std);
    y = rounded(
        to_float(reference::relu(reference::batchnorm_apply(x, state, gamma, beta, kEpsilon))),
        storage);
    dy = random_tensor(shape, storage, 11).values();
    dx_before = random_tensor(shape, storage, 12).values();
    dgamma_before = random_tensor({shape[-1]}, DType::f64, 13).values();
    dbeta_before = random_tensor({shape[-1]}, DType::f64, 14).values();
  }
};

// dx, dgamma, dbeta
Results run_grad(Context& c, DType dtype, const Shape& shape, const Inputs& in,
                 const Options& options) {
  const Shape channel_shape{shape[-1]};
  const OwnedTensor x(shape, dtype, in.x), y(shape, dtype, in.y), dy(shape, dtype, in.dy);
  const DType wide = accumulation_type(dtype);
  const OwnedTensor gamma(channel_shape, wide, in.gamma), beta(channel_shape, wide, in.beta);
  const OwnedTensor mean(channel_shape, wide, in.mean);
  const OwnedTensor inv_std(channel_shape, wide, in.inv_std);
  const auto scratch_bytes =
      static_cast<std::int64_t>(batchnorm_grad_scratch_bytes(c, shape, dtype));
  const OwnedTensor scratch({scratch_bytes}, DType::u8);
  Results results;
  results.emplace_back(shape, dtype);
  results.emplace_back(channel_shape, wide);
  results.emplace_back(channel_shape, wide);
  if (options.mode == GradWrite::accumulate) results[0].assign(in.dx_before);
  if (options.accumulate_parameters) {
    results[1].assign(in.dgamma_before);
    results[2].assign(in.dbeta_before);
  }
  batchnorm_grad(c, {.x = x,
                     .y = options.activation == Activation::relu ? y.view() : Tensor{},
                     .gamma = gamma,
                     .beta = beta,
                     .saved_mean = mean,
                     .saved_inv_std = inv_std,
                     .dy = dy,
                     .dx = options.mode == GradWrite::skip ? Tensor{} : results[0].view(),
                     .dgamma = results[1],
                     .dbeta = results[2],
                     .activation = options.activation,
                     .mode = options.mode,
                     .accumulate_parameters = options.accumulate_parameters,
                     .scratch = static_cast<std::byte*>(scratch.view().raw())});
  EXPECT_TRUE(scratch.guards_intact());
  return results;
}

// dy through the activation.
Values gradient_before(const Inputs& in, Activation activation) {
  if (activation == Activation::relu) return reference::relu_grad(in.y, in.dy);
  if (activation == Activation::none) return in.dy;
  Values z;
  for (std::size_t i = 0; i < in.x.size(); ++i) {
    const std::size_t c = i % in.gamma.size();
    z.push_back((in.x[i] - in.mean[c]) * in.inv_std[c] * in.gamma[c] + in.beta[c]);
  }
  return reference::gelu_grad(z, in.dy);
}

std::vector<Values> wanted_grad(const Inputs& in, const Options& options) {
  const Values g = gradient_before(in, options.activation);
  auto wanted = reference::batchnorm_grad(in.x, in.mean, in.inv_std, in.gamma, g);
  const auto add = [](Values& sum, const Values& before) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += before[i];
  };
  if (options.mode == GradWrite::accumulate) add(wanted.dx, in.dx_before);
  if (options.mode == GradWrite::skip)
    wanted.dx.assign(wanted.dx.size(), std::numeric_limits<double>::quiet_NaN());
  if (options.accumulate_parameters) {
    add(wanted.dgamma, in.dgamma_before);
    add(wanted.dbeta, in.dbeta_before);
  }
  return {wanted.dx, wanted.dgamma, wanted.dbeta};
}

// f32: sums of up to 5,766 rows in blocks, relative to the largest of a channel: 1e-6 or so, and
// the factors and products of dx add a few roundings. Where two rows leave hardly any gradient
// (dx = 0 in exact arithmetic) the summands' roundings stay, hence shapes of two rows are apart.
constexpr Tolerance kTolerance{5e-6, 1e-12};

TEST(BatchnormGrad, MatchesTheOracle) {
  for (const Shape& shape : batchnorm_shapes()) {
    if (shape.element_count() / shape[-1] <= 2) continue;
    const Inputs in(shape);
    for (const Options& options : {Options{}, Options{.activation = Activation::relu},
                                   Options{.activation = Activation::relu,
                                   .mode = GradWrite::accumulate,
                                   .accumulate_parameters = true},
                                   Options{.activation = Activation::gelu},
                                   Options{.activation = Activation::gelu,
                                   .mode = GradWrite::accumulate,
                                   .accumulate_parameters = true},
                                   Options{.mode = GradWrite::skip}}) {
      SCOPED_TRACE(to_string(shape));
      const auto of = [&](DType dtype) { return is_16_bit(dtype) ? Inputs(shape, dtype) : in; };
      check_op_in_all_types(
          [&](Context& c, DType dtype) { return run_grad(c, dtype, shape, of(dtype), options); },
          [&](DType dtype) { return wanted_grad(of(dtype), options); }, kTolerance);
    }
  }
}

// A gradient that is added is never stored past the caches.
TEST(BatchnormGrad, LargeGradientsHaveTheBitsOfThoseAddedToZero) {
  KILN_CPU_ONLY("about stores past the host's caches");
  TestContext c(2);
  LargeTensor x, dy, replaced, added;
  std::memset(added.view().raw(), 0, added.view().size_bytes());
  const Shape channels{LargeTensor::shape()[1]};
  const OwnedTensor mean = random_tensor(channels, DType::f32, 1);
  const OwnedTensor inv_std = random_tensor(channels, DType::f32, 2, 0.5, 2);
  Buffer scratch(Device{}, batchnorm_grad_scratch_bytes(c, LargeTensor::shape(), DType::f32));
  for (const bool add : {false, true})
    batchnorm_grad(c, {.x = x.view(),
                       .saved_mean = mean,
                       .saved_inv_std = inv_std,
                       .dy = dy.view(),
                       .dx = add ? added.view() : replaced.view(),
                       .mode = add ? GradWrite::accumulate : GradWrite::overwrite,
                       .scratch = scratch.data()});
  const float *one = replaced.view().data<float>(), *other = added.view().data<float>();
  EXPECT_TRUE(std::equal(one, one + LargeTensor::shape().element_count(), other));
}

TEST(BatchnormGrad, NanStaysInItsChannel) {
  TestContext c(2);
  const Shape shape{30, 3};
  Inputs in(shape);
  in.dy[31] = std::nan("");
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Results results = run_grad(c, dtype, shape, in, {});
    for (std::int64_t i = 0; i < 90; ++i) EXPECT_EQ(std::isnan(results[0].at(i)), i % 3 == 1) << i;
  }
}

// dx, dgamma and dbeta through batchnorm_train and batchnorm_grad, both in f64.
TEST(BatchnormGrad, AgreesWithFiniteDifferences) {
  TestContext c;
  const Shape shape{4, 3, 2, 5}, channel_shape{5};
  const OwnedTensor weight = random_tensor(shape, DType::f64, 21);
  const OwnedTensor scratch({100000}, DType::u8);
  auto* scratch_data = static_cast<std::byte*>(scratch.view().raw());
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
    struct State {
      OwnedTensor y, mean, inv_std;
    };
    const auto forward = [&](const Values& x, const Values& gamma, const Values& beta) {
      State s{{shape, DType::f64}, {channel_shape, DType::f64}, {channel_shape, DType::f64}};
      const OwnedTensor in(shape, DType::f64, x), scale(channel_shape, DType::f64, gamma),
          shift(channel_shape, DType::f64, beta);
      batchnorm_train(c, {.x = in,
                          .gamma = scale,
                          .beta = shift,
                          .y = s.y,
                          .saved_mean = s.mean,
                          .saved_inv_std = s.inv_std,
                          .running_mean = {},
                          .running_var = {},
                          .epsilon = kEpsilon,
                          .activation = activation,
                          .scratch = scratch_data});
      return s;
    };
    const BatchnormInputs in(shape, DType::f64);
    const Values x = in.x.values(), gamma = in.gamma.values(), beta = in.beta.values();
    const State s = forward(x, gamma, beta);
    OwnedTensor dx(shape, DType::f64), dgamma(channel_shape, DType::f64),
        dbeta(channel_shape, DType::f64);
    batchnorm_grad(c, {.x = in.x,
                       .y = s.y,
                       .gamma = in.gamma,
                       .beta = in.beta,
                       .saved_mean = s.mean,
                       .saved_inv_std = s.inv_std,
                       .dy = weight,
                       .dx = dx,
                       .dgamma = dgamma,
                       .dbeta = dbeta,
                       .activation = activation,
                       .scratch = scratch_data});
    const auto value = [&](const State& state) { return dot(state.y.values(), weight.values()); };
    const GradCheckOptions small{.step = 1e-4};
    EXPECT_LT(gradient_error([&](const Values& v) { return value(forward(v, gamma, beta)); }, x,
                             dx.values(), small),
              1e-6);
    EXPECT_LT(gradient_error([&](const Values& v) { return value(forward(x, v, beta)); }, gamma,
                             dgamma.values(), small),
              1e-6);
    EXPECT_LT(gradient_error([&](const Values& v) { return value(forward(x, gamma, v)); }, beta,
                             dbeta.values(), small),
              1e-6);
  }
}

}  // namespace
}  // namespace kiln::test
