// Training with 16-bit storage on the CPU, and on a device: KILN_TEST_DEVICE=emu or cuda.
#include "engine/train/mixed_precision.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "engine/core/transfer.h"
#include "engine/train/checkpoint.h"
#include "engine/train/network.h"
#include "engine/train/optimizer.h"
#include "models/zoo.h"
#include "tests/golden/golden.h"
#include "tests/reference/adadelta_step.h"
#include "tests/reference/adam_step.h"
#include "tests/reference/sgd_step.h"
#include "tests/support/check_op.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln {
namespace {

using test::RandomBatch;
using Values = std::vector<double>;

constexpr std::int64_t kBatch = 6;

Values doubles_of(const Tensor& tensor) {
  const auto elements = elements_of<float>(tensor);
  return {elements.begin(), elements.end()};
}

// A network with what training it takes; forward, backward and update are called one by one.
class Session {
 public:
  Session(const ModelSpec& spec, DType storage, const ArenaOptions& arena = {}, int threads = 1,
          bool deterministic = false)
      : spec_(spec),
        pool_(threads),
        context_(test::test_device(), pool_, log_, deterministic),
        providers_(context_.device().is_host()
                       ? make_cpu_conv2d_providers(log_, CpuConv2dChoice::own)
                       : make_device_conv2d_providers(context_.device(), log_)),
        parameters(spec, DType::f32, context_.device(), storage),
        network(spec, parameters, context_, providers_, {.batch_size = kBatch, .arena = arena}),
        optimizer({.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3}, parameters) {
    parameters.initialise(3);
    refresh_copies(context_, parameters);
  }

  // The loss before the update.
  double gradients() {
    const RandomBatch data(spec_, kBatch, context_.counter.step++);
    network.set_input(context_, data.images, data.labels, {});
    const double loss = test::forward_loss(network, context_);
    network.backward(context_);
    return loss;
  }
  double step() {
    const double loss = gradients();
    update();
    return loss;
  }
  void update() { optimizer.step(context_, 0.01); }
  Values values() const { return doubles_of(parameters.flat_values()); }
  Context& context() { return context_; }

 private:
  ModelSpec spec_;
  Log log_{stderr, LogLevel::quiet};
  ThreadPool pool_;
  Context context_;
  Conv2dProviders providers_;

 public:
  ParameterStore parameters;
  Network network;
  Optimizer optimizer;
};

// What a convolution reads is its f32 weight, rounded.
void expect_copies_of_the_weights(const Session& s) {
  for (const Parameter& p : s.parameters.all()) {
    const bool on_cpu = p.value.device().is_host();
    if (on_cpu ? p.role != ParameterRole::weight : !p.narrow()) continue;
    const Values values = doubles_of(p.value);
    visit_storage(p.working.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const std::vector<T> copies = elements_of<T>(p.working);
      for (std::size_t i = 0; i < copies.size(); ++i) {
        const auto value = static_cast<float>(values[i]);
        if constexpr (std::is_same_v<T, Float16>)
          ASSERT_EQ(copies[i].bits, to_float16(value).bits) << p.name;
        else if constexpr (std::is_same_v<T, BFloat16>)
          ASSERT_EQ(copies[i].bits, to_bfloat16(value).bits) << p.name;
        else
          FAIL() << "no 16-bit copy";
      }
    });
  }
}

class MixedPrecision : public testing::TestWithParam<std::string> {
 protected:
  static ModelSpec spec() { return GetParam() == "lenet" ? lenet() : test::mini_resnet(8); }
};

// What four steps made of the losses and of the weights.
struct Course {
  Values losses, change;
};

Course course_of(Session& s) {
  Course course{{}, s.values()};
  for (int step = 0; step < 4; ++step) course.losses.push_back(s.step());
  const Values end = s.values();
  for (std::size_t i = 0; i < end.size(); ++i) course.change[i] = end[i] - course.change[i];
  return course;
}

// Flat numbers of `from` in the order in which `to` has the same parameters.
Values in_order_of(const ParameterStore& to, const ParameterStore& from, const Values& flat) {
  const auto place = [](const ParameterStore& store, const Parameter& p) {
    return static_cast<const float*>(p.value.raw()) -
           static_cast<const float*>(store.flat_values().raw());
  };
  Values ordered(flat.size());
  for (const Parameter& p : from.all()) {
    if (!p.trainable()) continue;
    const auto begin = flat.begin() + place(from, p);
    std::copy(begin, begin + p.shape.element_count(), ordered.begin() + place(to, to.find(p.name)));
  }
  return ordered;
}

// |a - b| / |b| of vectors.
double distance(const Values& a, const Values& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

TEST_P(MixedPrecision, StaysNearFullPrecision) {
  Session full(spec(), DType::f32);
  const Course wanted = course_of(full);
  for (const DType dtype : test::types_of_16_bits()) {
    const double unit = test::rounding_error(dtype);
    SCOPED_TRACE(name_of(dtype));
    Session narrow(spec(), dtype);
    const Course got = course_of(narrow);
    // The losses see one rounding of the logits. A gradient also sees the relus that rounding opens
    // or closes: their share is proportional to the unit and each changes its part of the gradient
    // whole, so the distance goes with the root of the unit (measured on emu: up to 1.9 roots for
    // the residual network, whose normalisation by few pictures enlarges it; 0.3 for LeNet).
    EXPECT_LE(golden::relative_error(got.losses, wanted.losses), unit);
    EXPECT_LE(distance(got.change, in_order_of(narrow.parameters, full.parameters, wanted.change)),
              4 * std::sqrt(unit));
    expect_copies_of_the_weights(narrow);
    EXPECT_EQ(loss_scaling(narrow.parameters).skipped_steps, 0);
  }
}

TEST_P(MixedPrecision, RunsAgreeBitForBitWithForgottenMemoryAndGuards) {
  for (const DType dtype : test::types_of_16_bits()) {
    Session packed(spec(), dtype);
    Session guarded(spec(), dtype, {.share = false, .poison = true, .guards = true});
    for (int step = 0; step < 2; ++step) EXPECT_EQ(packed.step(), guarded.step());
    EXPECT_EQ(packed.values(), guarded.values());
  }
}

TEST_P(MixedPrecision, UnderDeterminismThreadsChangeNoBit) {
  KILN_CPU_ONLY("only the CPU computes with threads");
  const auto run = [&](int threads) {
    Session s(spec(), DType::bf16, {}, threads, true);
    s.step();
    s.step();
    return s.values();
  };
  const Values one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(3), one);
}

// One class lights the left half of a picture, the other the right, both under noise.
struct Halves {
  Halves(const ModelSpec& spec, std::int64_t count, std::uint64_t seed) : data(spec, count, seed) {
    const std::int64_t row = spec.width * spec.channels;
    for (std::size_t i = 0; i < data.images.size(); ++i) {
      const std::size_t picture = i / static_cast<std::size_t>(spec.height * row);
      const bool left = static_cast<std::int64_t>(i) % row < row / 2;
      data.labels[picture] %= 2;
      if (left == (data.labels[picture] == 0))
        data.images[i] = static_cast<std::uint8_t>(data.images[i] / 2 + 100);
    }
  }
  RandomBatch data;
};

// Pictures of 120 unseen ones that are named rightly after some steps.
std::int64_t hits_after_training(const ModelSpec& spec, DType storage) {
  Session s(spec, storage);
  for (std::uint64_t step = 0; step < 30; ++step) {
    const Halves halves(spec, kBatch, step);
    s.network.set_input(s.context(), halves.data.images, halves.data.labels, {});
    test::forward_loss(s.network, s.context());
    s.network.backward(s.context());
    s.update();
  }
  s.context().mode = Mode::eval;
  std::int64_t hits = 0;
  for (std::uint64_t batch = 0; batch < 20; ++batch) {
    const Halves halves(spec, kBatch, 1000 + batch);
    s.network.set_input(s.context(), halves.data.images, halves.data.labels, {});
    s.network.forward(s.context());
    hits += s.network.loss(s.context()).hit_count;
  }
  return hits;
}

TEST_P(MixedPrecision, LearnsWhatFullPrecisionLearns) {
  if (test::test_device().type == DeviceType::emu) GTEST_SKIP() << "too slow on an emulated device";
  if (test::kWithSanitizer) GTEST_SKIP() << "too slow under a sanitizer";
  const std::int64_t full = hits_after_training(spec(), DType::f32);
  const std::int64_t narrow = hits_after_training(spec(), DType::bf16);
  EXPECT_GE(full, 108);         // 90 %: the task is learnt at all
  EXPECT_GE(narrow, full - 6);  // within 5 %
}

TEST_P(MixedPrecision, OneInfinityLeavesOutOneUpdateAndHalvesTheScale) {
  if (test::test_device().is_host()) GTEST_SKIP() << "the CPU has no f16";
  Session s(spec(), DType::f16);
  s.step();
  const LossScaling before = loss_scaling(s.parameters);
  EXPECT_EQ(before.good_steps, 1);
  s.gradients();
  // The first layer's weight: the span of 16-bit gradients.
  const Parameter& victim = s.parameters.all().front();
  std::vector<Float16> gradient = elements_of<Float16>(victim.gradient);
  gradient.back() = to_float16(std::numeric_limits<float>::infinity());
  set_elements<Float16>(victim.gradient, gradient);
  const Values weights = s.values(), momentum = doubles_of(s.optimizer.states()[0].flat);
  s.update();
  EXPECT_EQ(s.values(), weights);
  EXPECT_EQ(doubles_of(s.optimizer.states()[0].flat), momentum);
  const LossScaling after = loss_scaling(s.parameters);
  EXPECT_EQ(after.scale, before.scale / 2);
  EXPECT_EQ(after.skipped_steps, 1);
  EXPECT_EQ(after.good_steps, 0);
  s.step();
  EXPECT_NE(s.values(), weights);
  EXPECT_EQ(loss_scaling(s.parameters).skipped_steps, 1);
  EXPECT_EQ(loss_scaling(s.parameters).good_steps, 1);
}

INSTANTIATE_TEST_SUITE_P(Networks, MixedPrecision, testing::Values("lenet", "mini_resnet"),
                         [](const auto& name) { return name.param; });

// The planted fault of the test above in the span that is f32 even here.
TEST(MixedPrecisionSpans, AnInfinityInBatchNormalisationIsSeenToo) {
  if (test::test_device().is_host()) GTEST_SKIP() << "the CPU has no f16";
  Session s(test::mini_resnet(8), DType::f16);
  s.gradients();
  const ParameterSpan& wide = s.parameters.spans().back();
  ASSERT_EQ(wide.gradients.dtype(), DType::f32);
  std::vector<float> gradients = elements_of<float>(wide.gradients);
  gradients.front() = std::numeric_limits<float>::quiet_NaN();
  set_elements<float>(wide.gradients, gradients);
  const Values weights = s.values();
  s.update();
  EXPECT_EQ(s.values(), weights);
  EXPECT_EQ(loss_scaling(s.parameters).skipped_steps, 1);
}

// The gradients of a span, divided by the loss scale.
Values unscaled_gradients(const ParameterSpan& span, double scale) {
  Values all;
  visit_storage(span.gradients.dtype(), [&](auto zero) {
    for (const auto value : elements_of<decltype(zero)>(span.gradients)) {
      if constexpr (sizeof(value) == 2)
        all.push_back(static_cast<double>(to_float(value)) / scale);
      else
        all.push_back(static_cast<double>(value) / scale);
    }
  });
  return all;
}

// The first step of every optimizer by its oracle, from the gradients that the device has.
void reference_step(OptimizerKind kind, Values& w, const Values& g) {
  Values first(w.size(), 0.0), second(w.size(), 0.0);
  if (kind == OptimizerKind::sgd)
    reference::sgd({.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-3, .first_step = true}, w, g,
                   first);
  else if (kind == OptimizerKind::adadelta)
    reference::adadelta(0.01, 0.9, 1e-8, 1e-3, w, g, first, second);
  else
    reference::adam({.lr = 0.01,
                     .beta1 = 0.9,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .weight_decay = 1e-3,
                     .decoupled = kind == OptimizerKind::adamw,
                     .step = 1},
                    w, g, first, second);
}

TEST(MixedPrecisionSpans, EveryOptimizerStepsAsItsOracle) {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adadelta, OptimizerKind::adam, OptimizerKind::adamw})
    for (const DType dtype : test::types_of_16_bits()) {
      SCOPED_TRACE(std::string(name_of(kind)) + ", " + std::string(name_of(dtype)));
      Session s(test::mini_resnet(8), dtype);
      Optimizer optimizer({.kind = kind, .weight_decay = 1e-3}, s.parameters);
      s.gradients();
      const Tensor scaling = s.parameters.loss_scale();
      const double scale =
          scaling.empty() ? 1 : static_cast<double>(loss_scaling(s.parameters).scale);
      std::vector<Values> wanted;
      for (const ParameterSpan& span : s.parameters.spans()) {
        wanted.push_back(doubles_of(span.values));
        reference_step(kind, wanted.back(), unscaled_gradients(span, scale));
      }
      optimizer.step(s.context(), 0.01);
      // A dozen roundings in f32, as in the ops' own tests.
      for (std::size_t i = 0; i < wanted.size(); ++i)
        EXPECT_LE(golden::relative_error(doubles_of(s.parameters.spans()[i].values), wanted[i]),
                  2e-6);
      expect_copies_of_the_weights(s);
    }
}

class MixedCheckpoint : public TempFolderTest {};

// Files hold f32 alone, and a resumed run has the bits of one that never stopped.
TEST_F(MixedCheckpoint, ResumesBitForBit) {
  for (const DType dtype : test::types_of_16_bits()) {
    Session through(lenet(), dtype), resumed(lenet(), dtype);
    through.step();
    save_checkpoint(folder() / "at", through.parameters, through.optimizer, {}, {});
    const double wanted = through.step();
    resumed.parameters.initialise(9);
    load_checkpoint(folder() / "at", resumed.parameters, resumed.optimizer, {});
    refresh_copies(resumed.context(), resumed.parameters);
    resumed.context().counter.step = 1;
    EXPECT_EQ(resumed.step(), wanted);
    EXPECT_EQ(resumed.values(), through.values());
    EXPECT_EQ(loss_scaling(resumed.parameters).good_steps,
              loss_scaling(through.parameters).good_steps);
    const SafetensorsFile file(folder() / "at");
    for (const SafetensorsEntry& entry : file.entries()) EXPECT_NE(entry.dtype, dtype);
  }
}

// A whitening filter and weights of batch normalisation that are not trained, GELU, a scale.
TEST(MixedPrecision, FixedWeightsStayAndTheOthersAreTrained) {
  Session s(test::narrow_speedrun(16), DType::bf16);
  const Values before = s.values();
  const auto fixed = [&] { return doubles_of(s.parameters.find("whiten.weight").value); };
  const Values filter = fixed();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isfinite(s.step()));
  EXPECT_NE(s.values(), before);
  EXPECT_EQ(fixed(), filter);
}

}  // namespace
}  // namespace kiln
