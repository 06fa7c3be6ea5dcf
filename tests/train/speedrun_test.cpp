// The recipe of the speedrun: its network and optimizers against PyTorch, whitening, groups of
// parameters that stop, and runs that go on.
#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/train/optimizer.h"
#include "engine/train/schedule.h"
#include "engine/train/trainer.h"
#include "engine/train/whitening.h"
#include "tests/support/temp_folder.h"
#include "tests/train/golden_run.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln {
namespace {

using test::GoldenRun;
using test::Workbench;

// The golden file's pictures as a data set.
Dataset golden_dataset(const golden::GoldenFile& file) {
  const golden::GoldenArray pixels = golden::to_channels_last(file.at("pixels"));
  DatasetInfo info{.name = "golden",
                   .height = 32,
                   .width = 32,
                   .channels = 3,
                   .class_names = std::vector<std::string>(10, "class")};
  Buffer images(Device{}, pixels.values.size());
  for (std::size_t i = 0; i < pixels.values.size(); ++i)
    images.data()[i] = static_cast<std::byte>(pixels.values[i]);
  const std::vector<double> labels = file.at("labels").values;
  return Dataset(info, std::move(images), {labels.begin(), labels.end()});
}

TEST(Whitening, HasTheMomentsAndFiltersOfPyTorch) {
  const golden::GoldenFile file("speedrun");
  const ModelSpec spec = test::narrow_speedrun(32);
  const Dataset data = golden_dataset(file);
  Workbench bench(2);
  ParameterStore parameters(spec, DType::f32, Device{});
  ASSERT_TRUE(wants_whitening(spec));
  whiten(spec, data, {}, bench.context, parameters);
  const std::vector<double> got =
      test::in_file_order(parameters.find("whiten.weight"), parameters.find("whiten.weight").value);
  const std::vector<double> wanted = file.at("whitening/filters").values;
  ASSERT_EQ(got.size(), wanted.size());
  // Filters up to sign and order; pictures are normalised in float, so directions whose eigenvalues
  // are near each other turn a little.
  for (std::size_t i = 0; i < 24; ++i) {
    double nearest = 1e9;
    for (std::size_t k = 0; k < 24; ++k) {
      double distance = 0, size = 0;
      for (std::size_t j = 0; j < 12; ++j) {
        distance += std::pow(got[i * 12 + j] - wanted[k * 12 + j], 2);
        size += std::pow(wanted[k * 12 + j], 2);
      }
      nearest = std::min(nearest, std::sqrt(distance / size));
    }
    EXPECT_LE(nearest, 1e-4) << "filter " << i;
  }
  for (std::size_t i = 0; i < 12 * 12; ++i) EXPECT_EQ(got[i], -got[i + 144]);
}

TEST(Whitening, RefusesOtherPicturesThanTheSpecHas) {
  ModelSpec grey = test::narrow_speedrun(16);
  grey.channels = 1;
  const ModelSpec spec = test::narrow_speedrun(16);
  Workbench bench(1);
  ParameterStore parameters(spec, DType::f32, Device{});
  const Dataset data = test::random_dataset(grey, 20);
  EXPECT_THROW(whiten(spec, data, {}, bench.context, parameters), Error);
}

TEST(Whitening, DoesNotDependOnTheThreads) {
  const ModelSpec spec = test::narrow_speedrun(16);
  const Dataset data = test::random_dataset(spec, 150);
  const auto filters = [&](int threads) {
    Workbench bench(threads);
    ParameterStore parameters(spec, DType::f32, Device{});
    whiten(spec, data, {}, bench.context, parameters);
    const auto w = parameters.find("whiten.weight").value.elements<float>();
    return std::vector<float>(w.begin(), w.end());
  };
  EXPECT_EQ(filters(1), filters(3));
}

// Vectors are orthonormal and make the matrix diagonal.
TEST(SymmetricEigen, DiagonalisesTheMoments) {
  const golden::GoldenFile file("speedrun");
  const std::size_t n = 12;
  const std::vector<double> moments = file.at("whitening/moments").values;
  const Eigen eigen = symmetric_eigen(moments, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double product = 0, image = 0;
      for (std::size_t k = 0; k < n; ++k) {
        product += eigen.vectors[i * n + k] * eigen.vectors[j * n + k];
        for (std::size_t l = 0; l < n; ++l)
          image += eigen.vectors[i * n + k] * moments[k * n + l] * eigen.vectors[j * n + l];
      }
      EXPECT_NEAR(product, i == j ? 1 : 0, 1e-13);
      EXPECT_NEAR(image, i == j ? eigen.values[i] : 0, 1e-12);
    }
  EXPECT_TRUE(std::ranges::is_sorted(eigen.values));
}

TEST(Initialisers, DiracPassesChannelsAndUnitStdIsOne) {
  const ModelSpec spec = test::narrow_speedrun(32);
  ParameterStore parameters(spec, DType::f64, Device{});
  parameters.initialise(7);
  const auto wide =
      parameters.find("layers.2.conv1.weight").value.elements<double>();  // [12,3,3,8]
  for (std::size_t k = 0; k < 12; ++k)
    for (std::size_t i = 0; i < 72; ++i) {
      if (k < 8)
        EXPECT_EQ(wide[k * 72 + i], i == 4 * 8 + k ? 1.0 : 0.0);
      else
        EXPECT_LE(std::fabs(wide[k * 72 + i]), 1 / std::sqrt(72.0));
    }
  EXPECT_NE(wide[8 * 72], 0.0);
  const auto head = parameters.find("head.weight").value.elements<double>();
  double sum = 0, squares = 0;
  for (const double w : head) sum += w;
  for (const double w : head) squares += std::pow(w - sum / static_cast<double>(head.size()), 2);
  EXPECT_NEAR(squares / static_cast<double>(head.size() - 1), 1, 1e-12);
}

// Five steps of the recipe, whose loss is a sum, with rates for our mean; the whitening's bias
// stops after the third. The bars are those of five steps: PyTorch's own float32 is 5e-6 away in
// weights.
TEST(Speedrun, FollowsPyTorchForFiveSteps) {
  constexpr std::int64_t kBatch = 6, kSteps = 5;
  for (const auto& [dtype, bar] : {std::pair{DType::f64, 1e-10}, std::pair{DType::f32, 5e-5}}) {
    SCOPED_TRACE(name_of(dtype));
    const ModelSpec spec = test::narrow_speedrun(32);
    GoldenRun g("speedrun", spec, dtype, kBatch, 2, true, 0.2);
    test::set_file_order(g.parameters_.find("whiten.weight"),
                         g.golden_.at("whitening/filters").values);
    Optimizer optimizer(test::speedrun_optimizer(kBatch, 3), g.parameters_);
    const ScheduleOptions line{.kind = ScheduleKind::linear,
                               .base = test::speedrun_base_rate(kBatch)};
    const std::vector<double> losses = g.golden_.at("loss_f64").values;
    for (std::int64_t step = 0; step < kSteps; ++step) {
      if (step == 3) g.pause({"whiten.bias"}, spec, kBatch, 0.2);
      g.load(step % 2);
      const double loss = test::forward_loss(*g.network_, g.bench_.context);
      EXPECT_NEAR(loss, losses[static_cast<std::size_t>(step)], bar) << "step " << step;
      g.network_->backward(g.bench_.context);
      if (step == 0)
        g.expect_close("gradient_of_step_1/", bar, [](const Parameter& p) { return p.gradient; });
      std::vector<GroupStep> groups;
      for (const ParameterGroup& group : optimizer.options().groups) {
        ScheduleOptions own = line;
        own.base = group.learning_rate;
        groups.push_back({learning_rate(own, step, 1, kSteps, group.until_epochs),
                          group.until_epochs == 0 || step < 3});
      }
      optimizer.step(g.bench_.context, learning_rate(line, step, 1, kSteps), {}, groups);
    }
    g.expect_close("after_5_steps/", bar, [](const Parameter& p) { return p.value; });
  }
}

TEST(Speedrun, APausedBiasEndsBackwardAboveItAndChangesNoOtherGradient) {
  const ModelSpec spec = test::narrow_speedrun(16);
  const auto gradients = [&](const std::vector<std::string>& paused) {
    Workbench bench(1);
    ParameterStore parameters(spec, DType::f32, Device{});
    parameters.initialise(3);
    Network network(spec, parameters, bench.context, bench.providers,
                    {.batch_size = 4, .paused = paused});
    const test::RandomBatch data(spec, 4, 5);
    network.set_input(bench.context, data.images, data.labels, {});
    test::forward_loss(network, bench.context);
    network.backward(bench.context);
    std::map<std::string, std::vector<float>> all;
    for (const Parameter& p : parameters.all())
      if (p.trainable()) {
        const auto g = p.gradient.elements<float>();
        all[p.name] = {g.begin(), g.end()};
      }
    return std::pair(all, network.memory().plan().op_names.size());
  };
  auto [whole, ops] = gradients({});
  const auto [rest, fewer] = gradients({"whiten.bias"});
  EXPECT_LT(fewer, ops);
  EXPECT_THAT(whole.at("whiten.bias"), testing::Contains(testing::Ne(0.0f)));
  EXPECT_THAT(rest.at("whiten.bias"), testing::Each(0.0f));
  whole["whiten.bias"] = rest.at("whiten.bias");
  EXPECT_EQ(whole, rest);
}

// SGD with its weights set to their average after steps 5 and 10, and at the end.
TEST(Lookahead, FollowsPyTorch) {
  const golden::GoldenFile file("speedrun");
  const ModelSpec spec{
      .name = "matrix",
      .height = 1,
      .width = 1,
      .channels = 8,
      .class_count = 8,
      .layers = {{.kind = LayerKind::linear, .name = "fc", .out_features = 8, .bias = false}}};
  const std::vector<double> gradients = file.at("lookahead/gradients").values;
  const std::vector<double> after = file.at("lookahead/after").values;
  for (const auto& [dtype, bar] : {std::pair{DType::f64, 1e-14}, std::pair{DType::f32, 1e-6}}) {
    Workbench bench(2);
    ParameterStore parameters(spec, dtype, Device{});
    const Parameter& w = parameters.find("fc.weight");
    test::set_file_order(w, file.at("lookahead/start").values);
    Optimizer optimizer({.momentum = 0.9}, parameters);
    Lookahead lookahead({.interval = 5, .decay = 0.95}, parameters);
    for (std::ptrdiff_t step = 0; step < 12; ++step) {
      visit_float(dtype, [&](auto zero) {
        using T = decltype(zero);
        std::copy_n(gradients.begin() + step * 64, 64, w.gradient.data<T>());
      });
      optimizer.step(bench.context, 0.1);
      lookahead.after_step(bench.context, step + 1, 12);
      EXPECT_LE(golden::relative_error(test::in_file_order(w, w.value),
                                       {after.begin() + step * 64, after.begin() + step * 64 + 64}),
                bar)
          << name_of(dtype) << ", step " << step;
    }
  }
}

TEST(Lookahead, RefusesWhatCannotBe) {
  const ModelSpec spec = test::narrow_speedrun(16);
  ParameterStore parameters(spec, DType::f32, Device{});
  EXPECT_THROW(Lookahead({.interval = 0}, parameters), Error);
  EXPECT_THROW(Lookahead({.interval = 5, .decay = 1.5}, parameters), Error);
}

std::string error_of_group(const std::string& text) {
  try {
    const ParameterGroup group = parse_group(text);
    const ModelSpec spec = test::narrow_speedrun(16);
    ParameterStore parameters(spec, DType::f32, Device{});
    Optimizer({.groups = {group}}, parameters);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Groups, SurviveTheTripThroughText) {
  for (const ParameterGroup& group : test::speedrun_optimizer(2000, 3).groups)
    EXPECT_EQ(parse_group(to_text(group)), group);
}

TEST(Groups, FaultsAreNamed) {
  using testing::HasSubstr;
  EXPECT_EQ(error_of_group("match=head.weight lr=1 optimizer=muon momentum=0.6"), "no error");
  EXPECT_THAT(error_of_group("match=head.weight"), HasSubstr("lacks match=NAMES or lr=NUMBER"));
  EXPECT_THAT(error_of_group("match=head.weight lr=fast"), HasSubstr("no number in lr=fast"));
  EXPECT_THAT(error_of_group("match=head.weight lr=1 colour=2"), HasSubstr("colour=2"));
  EXPECT_THAT(error_of_group("match=head.weight lr=1 optimizer=adam"), HasSubstr("optimizer=adam"));
  EXPECT_THAT(error_of_group("match=tail.* lr=1"), HasSubstr("matches no parameter"));
  EXPECT_THAT(error_of_group("match=whiten.weight lr=1"), HasSubstr("matches no parameter"));
  EXPECT_THAT(error_of_group("match=whiten.bias lr=1 optimizer=muon"), HasSubstr("is no matrix"));
  EXPECT_THAT(error_of_group("match=head.weight lr=1 nesterov=true"), HasSubstr("momentum"));
  EXPECT_THAT(error_of_group("match=head.weight lr=1 optimizer=muon weight-decay=1"),
              HasSubstr("weight-decay"));
}

// Three epochs of four steps, of which the last pictures of each are left out; the whitening's bias
// stops within the second epoch.
struct SpeedrunRun {
  explicit SpeedrunRun(const Path& checkpoint, int threads = 2, bool deterministic = false,
                       DType storage = DType::f32)
      : bench(threads, deterministic), parameters(spec, DType::f32, Device{}, storage) {
    parameters.initialise(5);
    whiten(spec, train, {}, bench.context, parameters);
    options.epoch_count = 3;
    options.batch_size = 4;
    options.seed = 5;
    options.drop_last = true;
    options.optimizer = test::speedrun_optimizer(4, 1.5);
    options.schedule = {.kind = ScheduleKind::linear, .base = test::speedrun_base_rate(4)};
    options.label_smoothing = 0.2;
    options.lookahead.interval = 5;
    options.augmentation = {.crop_padding = 2,
                            .padding = Augmentation::Padding::reflect,
                            .flip = Augmentation::Flip::alternating};
    options.checkpoint = checkpoint;
    options.settings = {{"seed", "5"}};
    trainer.emplace(spec, parameters, options, train, empty, bench.context, bench.providers);
  }
  TrainEnd run(int stop_after = std::numeric_limits<int>::max()) {
    int steps = 0;
    return trainer->run(observer, [&] { return ++steps >= stop_after; });
  }
  std::vector<std::vector<float>> values() const {
    std::vector<std::vector<float>> all;
    for (const Parameter& p : parameters.all()) {
      const auto elements = p.value.elements<float>();
      all.emplace_back(elements.begin(), elements.end());
    }
    return all;
  }

  ModelSpec spec = test::narrow_speedrun(16);
  Dataset train = test::random_dataset(spec, 18), empty = {};
  Workbench bench;
  ParameterStore parameters;
  TrainOptions options;
  std::optional<Trainer> trainer;
  TrainObserver observer;
};

class SpeedrunFolder : public TempFolderTest {};

TEST_F(SpeedrunFolder, ResumesBitForBitOnBothSidesOfThePause) {
  const Path path = folder() / "checkpoint.safetensors";
  for (const DType storage : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(storage));
    SpeedrunRun whole(folder() / "whole.safetensors", 2, false, storage);
    EXPECT_EQ(whole.trainer->batch_count(), 4);
    ASSERT_EQ(whole.run(), TrainEnd::finished);
    EXPECT_EQ(whole.trainer->position().step, 12);
    for (const int stop_after : {2, 5, 6, 9}) {
      SpeedrunRun first(path, 2, false, storage);
      ASSERT_EQ(first.run(stop_after), TrainEnd::stopped);
      SpeedrunRun second(path, 2, false, storage);
      second.trainer->resume(path);
      ASSERT_EQ(second.run(), TrainEnd::finished);
      EXPECT_EQ(second.values(), whole.values()) << "stopped after " << stop_after;
      EXPECT_EQ(read_file(path, 1 << 24), read_file(folder() / "whole.safetensors", 1 << 24));
    }
  }
}

// Behind muon's steps and sgd's, behind an average and behind a pause.
TEST_F(SpeedrunFolder, CopiesOf16BitsFollowEveryStep) {
  SpeedrunRun run({}, 2, false, DType::bf16);
  for (int step = 1; step <= 7; ++step) {
    ASSERT_EQ(run.run(1), TrainEnd::stopped);
    int narrow = 0;
    for (const Parameter& p : run.parameters.all()) {
      if (p.working.dtype() != DType::bf16) continue;
      ++narrow;
      const auto values = p.value.elements<float>();
      const auto copies = p.working.elements<BFloat16>();
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(copies[i].bits, to_bfloat16(values[i]).bits) << p.name << ", step " << step;
    }
    EXPECT_EQ(narrow, 8);  // the filter of the whitening, six of muon, the head
  }
}

TEST_F(SpeedrunFolder, DeterministicBitsDoNotDependOnTheThreads) {
  SpeedrunRun one({}, 1, true), three({}, 3, true);
  one.run();
  three.run();
  EXPECT_EQ(one.values(), three.values());
}

TEST_F(SpeedrunFolder, WhatIsNotTrainedStaysAndWhatIsPausedStands) {
  SpeedrunRun run({});
  run.options.lookahead = {};  // which moves what is paused, too
  run.trainer.emplace(run.spec, run.parameters, run.options, run.train, run.empty,
                      run.bench.context, run.bench.providers);
  const auto values_of = [&](const char* name) {
    const auto elements = run.parameters.find(name).value.elements<float>();
    return std::vector<float>(elements.begin(), elements.end());
  };
  const auto filters = values_of("whiten.weight"), bias = values_of("whiten.bias");
  ASSERT_EQ(run.run(6), TrainEnd::stopped);
  const auto at_pause = values_of("whiten.bias");
  EXPECT_NE(at_pause, bias);
  ASSERT_EQ(run.run(), TrainEnd::finished);
  EXPECT_EQ(values_of("whiten.bias"), at_pause);
  EXPECT_EQ(values_of("whiten.weight"), filters);
  EXPECT_THAT(values_of("layers.2.norm1.weight"), testing::Each(1.0f));
}

}  // namespace
}  // namespace kiln
