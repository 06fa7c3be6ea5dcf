// A batch trained by slices is the batch trained by ops: the same sums, cut elsewhere.
#include "engine/train/train_pass.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "engine/train/optimizer.h"
#include "models/zoo.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"

namespace kiln {
namespace {

using test::RandomBatch;
using test::Workbench;

// One batch through a pass of its own.
struct BatchRun {
  BatchRun(const ModelSpec& spec, DType dtype, std::int64_t batch, int thread_count,
           bool deterministic = false)
      : bench(thread_count, deterministic),
        parameters(spec, dtype, Device{}),
        data(spec, batch, 3),
        pass(spec, initialised(parameters), bench.context, bench.providers, {.batch_size = batch}) {
    result = pass.run(bench.context, data.images, data.labels, {});
  }
  static ParameterStore& initialised(ParameterStore& store) {
    store.initialise(5);
    return store;
  }
  std::vector<double> gradients() const {
    return visit_float(parameters.dtype(), [&](auto zero) {
      const auto all = parameters.flat_gradients().elements<decltype(zero)>();
      return std::vector<double>(all.begin(), all.end());
    });
  }

  Workbench bench;
  ParameterStore parameters;
  RandomBatch data;
  TrainPass pass;
  BatchResult result;
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return largest / scale;
}

TEST(TrainPass, SlicesGiveTheGradientsOfTheWholeBatch) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const BatchRun whole(lenet(), dtype, 7, 1);
    ASSERT_EQ(whole.pass.network_count(), 1u);
    for (const int threads : {2, 3}) {
      const BatchRun sliced(lenet(), dtype, 7, threads);
      ASSERT_EQ(sliced.pass.network_count(), static_cast<std::size_t>(threads));
      // Sums of 7 pictures' gradients in another order.
      const double bar = dtype == DType::f64 ? 1e-14 : 2e-6;
      EXPECT_LT(largest_difference(sliced.gradients(), whole.gradients()), bar);
      EXPECT_NEAR(sliced.result.loss_sum, whole.result.loss_sum, 1e-5);
      EXPECT_EQ(sliced.result.hit_count, whole.result.hit_count);
    }
  }
}

TEST(TrainPass, SlicesAreAddedInTheirOrder) {
  constexpr std::int64_t kBatch = 7, kThreads = 3;
  const BatchRun sliced(lenet(), DType::f32, kBatch, kThreads);
  Workbench bench(1);
  ParameterStore parameters(lenet(), DType::f32, Device{});
  parameters.initialise(5);
  std::vector<float> sum;
  for (std::int64_t i = 0; i < kThreads; ++i) {
    const std::int64_t first = i * kBatch / kThreads, count = (i + 1) * kBatch / kThreads - first;
    Network network(lenet(), parameters, bench.context, bench.providers,
                    {.batch_size = count, .mean_over = kBatch});
    network.set_input(
        bench.context,
        std::span(sliced.data.images)
            .subspan(static_cast<std::size_t>(first) * 3072,
                     static_cast<std::size_t>(count) * 3072),
        std::span(sliced.data.labels)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        {});
    test::forward_loss(network, bench.context);
    network.backward(bench.context);
    const auto slice = parameters.flat_gradients().elements<float>();
    if (i == 0) sum.assign(slice.begin(), slice.end());
    for (std::size_t j = 0; i > 0 && j < sum.size(); ++j) sum[j] += slice[j];
  }
  const auto got = sliced.parameters.flat_gradients().elements<float>();
  EXPECT_TRUE(std::ranges::equal(got, sum));
}

TEST(TrainPass, TheSameBatchTwiceGivesTheSameBits) {
  BatchRun run(lenet(), DType::f32, 16, 3);
  const std::vector<double> first = run.gradients();
  const BatchResult again = run.pass.run(run.bench.context, run.data.images, run.data.labels, {});
  EXPECT_EQ(run.gradients(), first);
  EXPECT_EQ(again.loss_sum, run.result.loss_sum);
}

TEST(TrainPass, PartsAndRestAreTheWholeGradient) {
  constexpr std::int64_t kBatch = 8;
  for (const int threads : {1, 2, 3}) {
    BatchRun run(lenet(), DType::f32, kBatch, threads);
    std::vector<double> whole = run.gradients();
    run.pass.run_apart(run.bench.context, run.data.images, run.data.labels, {});
    const Tensor rest = run.pass.rest();
    ASSERT_EQ(rest.empty(), threads == 1);
    if (threads == 1) continue;
    EXPECT_NE(run.gradients(), whole);
    const auto numbers = rest.elements<float>();
    auto store = run.parameters.flat_gradients().elements<float>();
    for (std::size_t i = 0; i < store.size(); ++i) store[i] += numbers[i];
    EXPECT_EQ(run.gradients(), whole);
  }
}

// What the optimizer makes of a gradient in two parts, after three steps.
TEST(TrainPass, OptimizersTakeTheRest) {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adadelta, OptimizerKind::adam, OptimizerKind::adamw}) {
    const auto train = [&](bool apart) {
      BatchRun run(lenet(), DType::f32, 8, 2);
      Optimizer optimizer({.kind = kind, .weight_decay = 1e-4}, run.parameters);
      for (int i = 0; i < 3; ++i) {
        if (apart)
          run.pass.run_apart(run.bench.context, run.data.images, run.data.labels, {});
        else
          run.pass.run(run.bench.context, run.data.images, run.data.labels, {});
        optimizer.step(run.bench.context, 0.01, apart ? run.pass.rest() : Tensor{});
      }
      const auto weights = run.parameters.flat_values().elements<float>();
      return std::vector<float>(weights.begin(), weights.end());
    };
    EXPECT_EQ(train(true), train(false)) << name_of(kind);
  }
}

TEST(TrainPass, IsByOpsWherePicturesDependOnEachOther) {
  const auto network_count = [](const ModelSpec& spec, std::int64_t batch, int threads,
                                bool deterministic) {
    return BatchRun(spec, DType::f32, batch, threads, deterministic).pass.network_count();
  };
  EXPECT_EQ(network_count(lenet(), 8, 2, false), 2u);
  EXPECT_EQ(network_count(lenet(), 2, 3, false), 1u) << "a slice without a picture";
  EXPECT_EQ(network_count(test::mini_resnet(8), 8, 2, false), 1u) << "batch normalisation";
  EXPECT_EQ(network_count(mnist(), 8, 2, false), 1u) << "dropout";
  EXPECT_EQ(network_count(mnist(), 8, 2, true), 1u) << "dropout";
}

// 11 pictures are two slices of four and one of three.
TEST(TrainPass, ExactSlicesGiveTheSameBitsForEveryNumberOfThreads) {
  const BatchRun whole(lenet(), DType::f32, 11, 1);
  const BatchRun one(lenet(), DType::f32, 11, 1, true);
  EXPECT_EQ(one.pass.description(), "by exact slices of 4 pictures");
  EXPECT_NE(one.gradients(), whole.gradients());
  EXPECT_LT(largest_difference(one.gradients(), whole.gradients()), 2e-6);
  EXPECT_NEAR(one.result.loss_sum, whole.result.loss_sum, 1e-5);
  EXPECT_EQ(one.result.hit_count, whole.result.hit_count);
  for (const int threads : {2, 3, 5}) {
    const BatchRun other(lenet(), DType::f32, 11, threads, true);
    EXPECT_EQ(other.gradients(), one.gradients()) << threads;
    EXPECT_EQ(other.result.loss_sum, one.result.loss_sum) << threads;
  }
}

TEST(TrainPass, AnExactSliceHasWorkForEveryWeight) {
  ModelSpec perceptron{.name = "perceptron"};
  perceptron.layers = {{.kind = LayerKind::flatten},
                       {.kind = LayerKind::linear, .name = "fc", .out_features = 10}};
  const Workbench bench(1, true), plain(1);
  const auto size = [](const ModelSpec& spec, DType dtype, const Workbench& of) {
    return exact_slice_size(spec, ParameterStore(spec, dtype, Device{}), of.context);
  };
  EXPECT_EQ(size(lenet(), DType::f32, bench), 4);
  EXPECT_EQ(size(perceptron, DType::f32, bench), 17);  // biases have no multiply-add
  EXPECT_EQ(size(lenet(), DType::f64, bench), 0);
  EXPECT_EQ(size(lenet(), DType::f32, plain), 0);
  EXPECT_EQ(size(test::mini_resnet(8), DType::f32, bench), 0);
}

TEST(TrainPass, WantsWorkForEveryWeight) {
  ModelSpec perceptron{.name = "perceptron"};
  perceptron.layers = {{.kind = LayerKind::flatten},
                       {.kind = LayerKind::linear, .name = "fc", .out_features = 10}};
  // One multiply-add a weight and picture.
  EXPECT_FALSE(wants_slices(perceptron, 16, 2));
  EXPECT_TRUE(wants_slices(perceptron, 64, 2));
  EXPECT_FALSE(wants_slices(perceptron, 64, 1));
}

TEST(TrainPass, NamesTheLayerThatIsNotFinite) {
  for (const bool deterministic : {false, true}) {
    BatchRun run(lenet(), DType::f32, 8, 2, deterministic);
    run.parameters.find("fc1.bias").value.data<float>()[0] = std::nanf("");
    const BatchResult result =
        run.pass.run(run.bench.context, run.data.images, run.data.labels, {});
    EXPECT_FALSE(std::isfinite(result.loss_sum));
    EXPECT_EQ(run.pass.first_layer_not_finite(run.bench.context), "fc1");
  }
}

TEST(ParameterStore, ATwinSharesValuesAndHasItsOwnGradients) {
  ParameterStore store(lenet(), DType::f32, Device{});
  store.initialise(1);
  const ParameterStore twin = store.with_own_gradients();
  ASSERT_EQ(twin.all().size(), store.all().size());
  for (std::size_t i = 0; i < store.all().size(); ++i) {
    const Parameter &own = store.all()[i], &other = twin.all()[i];
    EXPECT_EQ(own.value.raw(), other.value.raw());
    EXPECT_NE(own.gradient.raw(), other.gradient.raw());
    const auto offset = [](const ParameterStore& of, const Parameter& p) {
      return static_cast<std::byte*>(p.gradient.raw()) -
             static_cast<std::byte*>(of.flat_gradients().raw());
    };
    EXPECT_EQ(offset(store, own), offset(twin, other));
  }
}

}  // namespace
}  // namespace kiln
