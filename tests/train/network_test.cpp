// Whole networks: against PyTorch, against finite differences, and against themselves under every
// arrangement of memory.
#include "engine/train/network.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>

#include "engine/train/optimizer.h"
#include "models/zoo.h"
#include "tests/train/fixture.h"
#include "tests/train/golden_run.h"
#include "tests/train/mini_resnet.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln {
namespace {

using test::GoldenRun;
using test::RandomBatch;
using test::Workbench;

ModelSpec without_dropout(ModelSpec spec) {
  std::erase_if(spec.layers, [](const LayerSpec& l) { return l.kind == LayerKind::dropout; });
  return spec;
}

struct GoldenParam {
  DType dtype;
  int thread_count;
  bool fuse;
};

class GoldenNetwork : public testing::TestWithParam<GoldenParam> {
 protected:
  double bar() const { return GetParam().dtype == DType::f32 ? 1e-5 : 1e-12; }
  static Tensor value_of(const Parameter& p) { return p.value; }
  static Tensor gradient_of(const Parameter& p) { return p.gradient; }
};

TEST_P(GoldenNetwork, LenetFollowsPyTorchForAHundredSteps) {
  const auto [dtype, threads, fuse] = GetParam();
  GoldenRun g("lenet", lenet(), dtype, 16, threads, fuse);
  Optimizer optimizer({.momentum = 0.9}, g.parameters_);
  const std::vector<double> losses = g.golden_.at("loss_f64").values;
  ASSERT_EQ(losses.size(), 100u);
  for (std::size_t step = 0; step < losses.size(); ++step) {
    g.load(static_cast<std::int64_t>(step % 4));
    const double loss = test::forward_loss(*g.network_, g.bench_.context);
    EXPECT_NEAR(loss, losses[step], bar() * losses[step]) << "step " << step;
    g.network_->backward(g.bench_.context);
    if (step == 0) g.expect_close("gradient_of_step_1/", bar(), gradient_of);
    optimizer.step(g.bench_.context, 0.001);
  }
  g.expect_close("after_100_steps/", bar(), value_of);
}

TEST_P(GoldenNetwork, MnistAgreesWithPyTorch) {
  const auto [dtype, threads, fuse] = GetParam();
  GoldenRun g("mnist", without_dropout(mnist()), dtype, 8, threads, fuse);
  g.load(0);
  const double truth = g.golden_.at("loss_f64").values.at(0);
  EXPECT_NEAR(test::forward_loss(*g.network_, g.bench_.context), truth, bar() * truth);
  g.network_->backward(g.bench_.context);
  g.expect_close("gradient_of_step_1/", bar(), gradient_of);
}

TEST_P(GoldenNetwork, ResidualBlocksAgreeWithPyTorch) {
  const auto [dtype, threads, fuse] = GetParam();
  GoldenRun g("mini_resnet", test::mini_resnet(12), dtype, 4, threads, fuse);
  Optimizer optimizer({.momentum = 0.9, .weight_decay = 0.0005}, g.parameters_);
  g.load(0);
  const double truth = g.golden_.at("loss_f64").values.at(0);
  EXPECT_NEAR(test::forward_loss(*g.network_, g.bench_.context), truth, bar() * truth);
  g.network_->backward(g.bench_.context);
  g.expect_close("gradient_of_step_1/", bar(), gradient_of);
  optimizer.step(g.bench_.context, 0.1);
  g.expect_close("after_1_step/", bar(), value_of);
}

INSTANTIATE_TEST_SUITE_P(Types, GoldenNetwork,
                         testing::Values(GoldenParam{DType::f32, 1, true},
                                         GoldenParam{DType::f32, 2, true},
                                         GoldenParam{DType::f32, 2, false},
                                         GoldenParam{DType::f64, 2, true},
                                         GoldenParam{DType::f64, 1, false}),
                         [](const auto& tested) {
                           return std::string(name_of(tested.param.dtype)) + "_threads" +
                                  std::to_string(tested.param.thread_count) +
                                  (tested.param.fuse ? "_fused" : "_separate");
                         });

// dL/dw of a random direction against the difference quotient, in double, for every parameter.
double worst_gradient_error(const ModelSpec& spec, std::int64_t batch, bool fuse,
                            double label_smoothing) {
  Workbench bench(2);
  ParameterStore parameters(spec, DType::f64, Device{});
  parameters.initialise(3);
  Network network(spec, parameters, bench.context, bench.providers,
                  {.batch_size = batch,
                   .fuse = fuse,
                   .input_gradient = true,
                   .label_smoothing = label_smoothing});
  const RandomBatch data(spec, batch, 5);
  network.set_input(bench.context, data.images, data.labels, {});
  test::forward_loss(network, bench.context);
  network.backward(bench.context);

  std::vector<std::pair<Tensor, std::vector<double>>> checked;
  const auto keep = [&](const Tensor& value, const Tensor& gradient) {
    const auto g = gradient.elements<double>();
    checked.emplace_back(value, std::vector<double>(g.begin(), g.end()));
  };
  for (const Parameter& p : parameters.all())
    if (p.trainable()) keep(p.value, p.gradient);
  keep(network.input(), network.input_gradient());

  double worst = 0.0;
  for (auto& [value, gradient] : checked) {
    RandomSequence numbers(11, RandomStream::synthesise, 1);
    std::vector<double> start(value.elements<double>().begin(), value.elements<double>().end());
    std::vector<double> direction(start.size());
    double slope = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      direction[i] = numbers.next_u32() % 2 == 0 ? 1.0 : -1.0;
      slope += direction[i] * gradient[i];
      norm += gradient[i] * gradient[i];
    }
    // Small enough that no relu and no maximum changes sides on these inputs.
    const double h = 1e-7;
    double* const moved = value.data<double>();
    const auto at = [&](double distance) {
      for (std::size_t i = 0; i < start.size(); ++i) moved[i] = start[i] + distance * direction[i];
      return test::forward_loss(network, bench.context);
    };
    const double quotient = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    std::ranges::copy(start, moved);
    worst = std::max(worst, std::fabs(quotient - slope) / std::sqrt(norm));
  }
  return worst;
}

TEST(NetworkGradient, LenetAsAWhole) {
  for (const bool fuse : {true, false})
    EXPECT_LE(worst_gradient_error(lenet(), 3, fuse, 0.0), 1e-6) << (fuse ? "fused" : "separate");
}

TEST(NetworkGradient, MnistWithDropoutAndLogSoftmax) {
  EXPECT_LE(worst_gradient_error(mnist(), 3, true, 0.1), 1e-6);
}

TEST(NetworkGradient, ResidualBlocksWithBatchNormalisation) {
  for (const bool fuse : {true, false})
    EXPECT_LE(worst_gradient_error(test::mini_resnet(8), 4, fuse, 0.1), 1e-6);
}

// As in the speedrun: pooling before a normalisation, and gelu behind each of them.
ModelSpec gelu_network() {
  using K = LayerKind;
  const auto conv = [](const char* name, std::int64_t channels) {
    return LayerSpec{.kind = K::conv2d,
                     .name = name,
                     .out_features = channels,
                     .kernel_h = 3,
                     .kernel_w = 3,
                     .padding_h = 1,
                     .padding_w = 1,
                     .bias = false};
  };
  const LayerSpec pool{.kind = K::max_pool,
                       .name = "pool",
                       .kernel_h = 2,
                       .kernel_w = 2,
                       .stride_h = 2,
                       .stride_w = 2};
  return {.name = "gelus",
          .height = 9,
          .width = 9,
          .layers = {conv("conv1", 6),
                     pool,
                     {.kind = K::batch_norm, .name = "bn1"},
                     {.kind = K::gelu, .name = "gelu1"},
                     conv("conv2", 9),
                     {.kind = K::batch_norm, .name = "bn2"},
                     {.kind = K::gelu, .name = "gelu2"},
                     {.kind = K::flatten, .name = "flatten"},
                     {.kind = K::linear, .name = "fc", .out_features = 10}}};
}

TEST(NetworkGradient, GeluBehindBatchNormalisation) {
  for (const bool fuse : {true, false})
    EXPECT_LE(worst_gradient_error(gelu_network(), 4, fuse, 0.1), 1e-6) << fuse;
}

// Forward the same bits; backward one rounding of the gradient between the passes less, and an
// argument of gelu out of the saved, rounded statistics: 1e-6 of a parameter's largest.
TEST(Network, GeluInThePassOfANormalisationAgreesWithAPassOfItsOwn) {
  double losses[2];
  std::vector<std::vector<double>> gradients[2];
  for (const bool fuse : {true, false}) {
    Workbench bench(2);
    ParameterStore parameters(gelu_network(), DType::f32, Device{});
    parameters.initialise(4);
    Network network(gelu_network(), parameters, bench.context, bench.providers,
                    {.batch_size = 33, .fuse = fuse});
    const RandomBatch data(gelu_network(), 33, 9);
    network.set_input(bench.context, data.images, data.labels, {});
    losses[fuse] = test::forward_loss(network, bench.context);
    network.backward(bench.context);
    for (const Parameter& p : parameters.all())
      if (p.trainable()) gradients[fuse].push_back(test::in_file_order(p, p.gradient));
  }
  EXPECT_EQ(losses[0], losses[1]);
  for (std::size_t i = 0; i < gradients[0].size(); ++i)
    EXPECT_LE(golden::relative_error(gradients[1][i], gradients[0][i]), 1e-6) << i;
}

// Frozen weights, normalisation of weight 1, GELU behind pooling, scaled logits: the gradients of
// the input and of all that is trained.
TEST(NetworkGradient, TheNarrowSpeedrun) {
  ModelSpec spec = test::narrow_speedrun(16);
  spec.layers.back().factor = -0.5;  // over 256 the rounding of the loss would drown its slope
  EXPECT_LE(worst_gradient_error(spec, 4, true, 0.2), 1e-6);
}

// One training step; returns every value, gradient and the loss.
std::vector<float> one_step(const ModelSpec& spec, const ArenaOptions& arena, int thread_count,
                            bool deterministic) {
  Workbench bench(thread_count, deterministic);
  ParameterStore parameters(spec, DType::f32, Device{});
  parameters.initialise(3);
  Network network(spec, parameters, bench.context, bench.providers,
                  {.batch_size = 6, .arena = arena});
  Optimizer optimizer({.momentum = 0.9}, parameters);
  std::vector<float> all;
  for (std::uint64_t step = 0; step < 3; ++step) {
    bench.context.counter.step = step;
    const RandomBatch data(spec, 6, step);
    network.set_input(bench.context, data.images, data.labels, {});
    all.push_back(static_cast<float>(test::forward_loss(network, bench.context)));
    network.backward(bench.context);
    optimizer.step(bench.context, 0.05);
  }
  for (const Tensor& flat : {parameters.flat_values(), parameters.flat_gradients()})
    all.insert(all.end(), flat.data<float>(), flat.data<float>() + flat.element_count());
  return all;
}

class EveryNetwork : public testing::TestWithParam<std::string> {
 protected:
  ModelSpec spec() const {
    return GetParam() == "mini_resnet" ? test::mini_resnet(8) : find_model(GetParam(), 10);
  }
};

TEST_P(EveryNetwork, PackedAndSeparateMemoryGiveTheSameBits) {
  const std::vector<float> packed = one_step(spec(), {}, 2, false);
  EXPECT_EQ(packed, one_step(spec(), {.share = false}, 2, false));
  EXPECT_EQ(packed, one_step(spec(), {.share = false, .poison = true, .guards = true}, 2, false));
}

TEST_P(EveryNetwork, SameSeedAndThreadsGiveTheSameBits) {
  EXPECT_EQ(one_step(spec(), {}, 2, false), one_step(spec(), {}, 2, false));
}

TEST_P(EveryNetwork, DeterministicTrainingDoesNotDependOnTheThreadCount) {
  const std::vector<float> one = one_step(spec(), {}, 1, true);
  EXPECT_EQ(one, one_step(spec(), {}, 2, true));
  EXPECT_EQ(one, one_step(spec(), {}, 3, true));
}

INSTANTIATE_TEST_SUITE_P(Networks, EveryNetwork, testing::Values("lenet", "mnist", "mini_resnet"),
                         [](const auto& tested) { return tested.param; });

// Batches of every size class of the kernels: the fused f32 network against the same network with
// one layer per spec entry, in double.
TEST(Network, LargeBatchesAgreeWithDouble) {
  for (const std::int64_t batch : {1, 3, 17, 64, 130, 512}) {
    std::vector<std::vector<double>> gradients[2];
    for (const bool fast : {true, false}) {
      Workbench bench(2);
      ParameterStore parameters(lenet(), fast ? DType::f32 : DType::f64, Device{});
      parameters.initialise(4);
      Network network(lenet(), parameters, bench.context, bench.providers,
                      {.batch_size = batch, .fuse = fast});
      const RandomBatch data(lenet(), batch, 9);
      network.set_input(bench.context, data.images, data.labels, {});
      test::forward_loss(network, bench.context);
      network.backward(bench.context);
      for (const Parameter& p : parameters.all())
        gradients[fast].push_back(test::in_file_order(p, p.gradient));
    }
    for (std::size_t i = 0; i < gradients[0].size(); ++i)
      EXPECT_LE(golden::relative_error(gradients[1][i], gradients[0][i]), 1e-5)
          << "batch " << batch << ", parameter " << i;
  }
}

TEST(Network, PackedArenaIsSmallerThanSeparate) {
  Workbench bench;
  ParameterStore parameters(lenet(), DType::f32, Device{});
  Network network(lenet(), parameters, bench.context, bench.providers, {.batch_size = 64});
  const MemoryPlan& plan = network.memory().plan();
  EXPECT_LT(plan.arena_bytes, plan.separate_bytes);
}

// What a normalisation leaves to others between the passes is there again behind backward.
TEST(Network, MakesOutputsOfNormalisationsAgainWithTheSameBits) {
  Workbench bench(2);
  const ModelSpec spec = test::mini_resnet(8);
  ParameterStore parameters(spec, DType::f32, Device{});
  parameters.initialise(4);
  Network network(spec, parameters, bench.context, bench.providers,
                  {.batch_size = 6, .arena = {.share = false}});
  const RandomBatch data(spec, 6, 9);
  network.set_input(bench.context, data.images, data.labels, {});
  test::forward_loss(network, bench.context);
  std::map<int, std::vector<float>> forgotten;
  const std::vector<SlotPlan>& slots = network.memory().plan().slots;
  for (int i = 0; i < static_cast<int>(slots.size()); ++i) {
    if (slots[static_cast<std::size_t>(i)].lives.size() < 2) continue;
    const auto y = network.memory()[Slot{i}].elements<float>();
    forgotten[i].assign(y.begin(), y.end());
    std::ranges::fill(y, std::nanf(""));
  }
  network.backward(bench.context);
  EXPECT_EQ(forgotten.size(), 3u);  // of the stem and of both blocks' first convolutions
  for (const auto& [i, y] : forgotten)
    EXPECT_TRUE(std::ranges::equal(network.memory()[Slot{i}].elements<float>(), y)) << i;
}

TEST(Network, EvaluationAndTrainingForwardAgreeWithoutDropoutAndNorm) {
  Workbench bench(2);
  ParameterStore parameters(lenet(), DType::f32, Device{});
  parameters.initialise(4);
  const RandomBatch data(lenet(), 5, 9);
  double losses[2];
  for (const bool training : {true, false}) {
    Network network(lenet(), parameters, bench.context, bench.providers,
                    {.batch_size = 5, .training = training});
    network.set_input(bench.context, data.images, data.labels, {});
    losses[training] = test::forward_loss(network, bench.context);
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST(Network, NamesTheLayerThatProducedAnInfinity) {
  Workbench bench;
  ParameterStore parameters(lenet(), DType::f32, Device{});
  parameters.initialise(4);
  Network network(lenet(), parameters, bench.context, bench.providers, {.batch_size = 2});
  const RandomBatch data(lenet(), 2, 9);
  network.set_input(bench.context, data.images, data.labels, {});
  EXPECT_EQ(network.first_layer_not_finite(bench.context), "");
  parameters.find("fc2.weight").value.data<float>()[5] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(network.first_layer_not_finite(bench.context), "fc2");
}

TEST(ParameterStore, CountsTheWorkshopsParameters) {
  const auto count = [](const ModelSpec& spec) {
    return ParameterStore(spec, DType::f32, Device{}).trainable_count();
  };
  EXPECT_EQ(count(lenet()), 62006);
  EXPECT_EQ(count(mnist()), 21840);
  EXPECT_EQ(count(resnet18()), 11173962);
}

TEST(ParameterStore, InitialiserKeepsPyTorchsBounds) {
  ParameterStore parameters(lenet(), DType::f32, Device{});
  parameters.initialise(1);
  const auto largest = [&](const char* name) {
    float worst = 0;
    for (const float v : parameters.find(name).value.elements<float>())
      worst = std::max(worst, std::fabs(v));
    return static_cast<double>(worst);
  };
  EXPECT_LE(largest("conv1.weight"), 1 / std::sqrt(75.0));
  EXPECT_GE(largest("conv1.weight"), 0.98 / std::sqrt(75.0));
  EXPECT_LE(largest("fc1.weight"), 1 / std::sqrt(400.0));
  EXPECT_GE(largest("fc1.weight"), 0.999 / std::sqrt(400.0));
  EXPECT_LE(largest("fc3.bias"), 1 / std::sqrt(84.0));
}

// Hands every problem on to our own kernels and keeps what it was asked.
class RecordingProvider final : public Conv2dProvider {
 public:
  RecordingProvider(Conv2dProviders& own, std::vector<Conv2dProblem>& asked)
      : own_(own), asked_(asked) {}
  std::string_view name() const override { return "recording"; }
  std::unique_ptr<Conv2dForward> forward(const Conv2dProblem& problem) override {
    return own_.forward(problem);
  }
  std::unique_ptr<Conv2dBackward> backward(const Conv2dProblem& problem) override {
    asked_.push_back(problem);
    return own_.backward(problem);
  }

 private:
  Conv2dProviders& own_;
  std::vector<Conv2dProblem>& asked_;
};

// The stem's dx is nobody's; the convolution of a block's short path adds to what the long path
// wrote.
TEST(Network, TellsProvidersWhetherDxIsReplacedOrAddedTo) {
  Workbench bench;
  std::vector<Conv2dProblem> asked;
  std::vector<std::unique_ptr<Conv2dProvider>> ordered;
  ordered.push_back(std::make_unique<RecordingProvider>(bench.providers, asked));
  Conv2dProviders providers(Device{}, std::move(ordered), bench.log);
  const ModelSpec spec = test::mini_resnet(8);
  ParameterStore parameters(spec, DType::f32, Device{});
  parameters.initialise(1);
  const Network network(spec, parameters, bench.context, providers, {.batch_size = 2});
  const auto count = [&](GradWrite mode) {
    return std::count_if(asked.begin(), asked.end(), [&](const auto& p) { return p.dx == mode; });
  };
  ASSERT_EQ(asked.size(), 6u);
  EXPECT_EQ(count(GradWrite::skip), 1);
  EXPECT_EQ(count(GradWrite::accumulate), 1);
  EXPECT_EQ(count(GradWrite::overwrite), 4);
  for (const Conv2dProblem& problem : asked) {
    EXPECT_FALSE(problem.accumulate_parameters);
    EXPECT_EQ(problem.dx == GradWrite::accumulate, problem.shape.r == 1) << "the short path is 1x1";
  }
}

}  // namespace
}  // namespace kiln
