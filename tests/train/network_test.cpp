// Whole networks: against PyTorch, against finite differences, and against themselves under every
// arrangement of memory.
#include "engine/train/network.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "engine/train/optimizer.h"
#include "models/zoo.h"
#include "tests/golden/golden.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"

namespace kiln {
namespace {

using test::RandomBatch;
using test::Workbench;

ModelSpec without_dropout(ModelSpec spec) {
  std::erase_if(spec.layers, [](const LayerSpec& l) { return l.kind == LayerKind::dropout; });
  return spec;
}

void set_file_order(const Parameter& parameter, const std::vector<double>& values) {
  visit_float(parameter.value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> typed(values.begin(), values.end());
    to_memory_order(parameter, Tensor(std::span<T>(typed), parameter.shape), parameter.value);
  });
}

std::vector<double> in_file_order(const Parameter& parameter, const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> typed(static_cast<std::size_t>(tensor.element_count()));
    to_file_order(parameter, tensor, Tensor(std::span<T>(typed), parameter.shape));
    return std::vector<double>(typed.begin(), typed.end());
  });
}

class Golden {
 public:
  Golden(const std::string& file, const ModelSpec& spec, DType dtype, std::int64_t batch,
         int thread_count, bool fuse)
      : golden_(file), bench_(thread_count), parameters_(spec, dtype, Device{}) {
    parameters_.initialise(1);
    for (const std::string& name : golden_.parameters())
      set_file_order(parameters_.find(name), golden_.initial(name).values);
    network_ = std::make_unique<Network>(spec, parameters_, bench_.context, bench_.providers,
                                         NetworkOptions{.batch_size = batch, .fuse = fuse});
  }

  // Batch `which` of the golden file becomes the input: bytes as (byte/255 - 0.5)/0.5 in double,
  // or "images" as they are.
  void load(std::int64_t which) {
    const bool bytes = golden_.contains("pixels");
    const golden::GoldenArray images = golden_.at(bytes ? "pixels" : "images");
    const golden::GoldenArray labels = golden_.at("labels");
    const Tensor x = network_->input();
    const std::int64_t n = x.shape()[0], h = x.shape()[1], w = x.shape()[2], c = x.shape()[3];
    for (std::int64_t i = 0; i < n * h * w * c; ++i) {
      const std::int64_t channel = i % c, pixel = i / c % (h * w), image = i / (c * h * w);
      const std::int64_t from = ((which * n + image) * c + channel) * h * w + pixel;
      const double raw = images.values.at(static_cast<std::size_t>(from));
      visit_float(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        x.data<T>()[i] = static_cast<T>(bytes ? (raw / 255.0 - 0.5) / 0.5 : raw);
      });
    }
    for (std::int64_t i = 0; i < n; ++i)
      network_->labels().data<std::int32_t>()[i] =
          static_cast<std::int32_t>(labels.values.at(static_cast<std::size_t>(which * n + i)));
  }

  // The largest relative error of what `tensor_of` picks, over the parameters that `prefix` has.
  template <class TensorOf>
  void expect_close(const std::string& prefix, double bar, const TensorOf& tensor_of) const {
    int compared = 0;
    for (const Parameter& p : parameters_.all()) {
      if (!golden_.contains(prefix + p.name)) continue;
      ++compared;
      EXPECT_LE(golden::relative_error(in_file_order(p, tensor_of(p)),
                                       golden_.at(prefix + p.name).values),
                std::max(bar, is_rounded(prefix, p) ? kRoundedToFloat : 0.0))
          << p.name;
    }
    EXPECT_GT(compared, 0);
  }

  // The one gradient that the golden files keep as float, to save room.
  static constexpr double kRoundedToFloat = 6e-8;
  static bool is_rounded(const std::string& prefix, const Parameter& p) {
    return prefix.starts_with("gradient") && p.name == "fc1.weight";
  }

  golden::GoldenFile golden_;
  Workbench bench_;
  ParameterStore parameters_;
  std::unique_ptr<Network> network_;
};

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
  Golden g("lenet", lenet(), dtype, 16, threads, fuse);
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
  Golden g("mnist", without_dropout(mnist()), dtype, 8, threads, fuse);
  g.load(0);
  const double truth = g.golden_.at("loss_f64").values.at(0);
  EXPECT_NEAR(test::forward_loss(*g.network_, g.bench_.context), truth, bar() * truth);
  g.network_->backward(g.bench_.context);
  g.expect_close("gradient_of_step_1/", bar(), gradient_of);
}

TEST_P(GoldenNetwork, ResidualBlocksAgreeWithPyTorch) {
  const auto [dtype, threads, fuse] = GetParam();
  Golden g("mini_resnet", test::mini_resnet(12), dtype, 4, threads, fuse);
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
      if (p.trainable()) gradients[fuse].push_back(in_file_order(p, p.gradient));
  }
  EXPECT_EQ(losses[0], losses[1]);
  for (std::size_t i = 0; i < gradients[0].size(); ++i)
    EXPECT_LE(golden::relative_error(gradients[1][i], gradients[0][i]), 1e-6) << i;
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
        gradients[fast].push_back(in_file_order(p, p.gradient));
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
