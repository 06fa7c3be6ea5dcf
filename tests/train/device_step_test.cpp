// Training runs whose steps stay on the device: KILN_TEST_DEVICE=emu or cuda.
#include "engine/train/device_step.h"

#include <cmath>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "engine/core/transfer.h"
#include "engine/train/mixed_precision.h"
#include "engine/train/trainer.h"
#include "models/zoo.h"
#include "tests/support/devices.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"
#include "tests/train/mini_resnet.h"
#include "tests/train/narrow_speedrun.h"

namespace kiln {
namespace {

using test::test_device;

// How the steps of a run come about.
enum class Way { graph, eager, fed };

// Dropout of the numbers that the last layer reads.
ModelSpec with_dropout(ModelSpec spec) {
  spec.layers.insert(spec.layers.end() - 1,
                     LayerSpec{.kind = LayerKind::dropout, .name = "drop", .probability = 0.3});
  return spec;
}

ModelSpec tiny() {
  ModelSpec spec{.name = "tiny", .height = 4, .width = 4, .channels = 1};
  spec.layers = {{.kind = LayerKind::flatten, .name = "flat"},
                 {.kind = LayerKind::linear, .name = "fc", .out_features = 10}};
  return spec;
}

struct Seen final : TrainObserver {
  std::vector<std::int64_t> batches;
  std::vector<double> logged, epochs;
  void step_done(std::int64_t batch, double, double, double) override { batches.push_back(batch); }
  void loss_logged(std::int64_t, double loss) override { logged.push_back(loss); }
  void epoch_ended(const EpochReport& r) override {
    epochs.push_back(r.train_loss);
    epochs.push_back(r.train_accuracy);
    epochs.push_back(r.test_loss);
  }
};

TrainOptions two_epochs() {
  TrainOptions options;
  options.epoch_count = 2;
  options.batch_size = 4;
  options.seed = 5;
  options.schedule = {.kind = ScheduleKind::linear, .base = 0.02, .final_ratio = 0.1};
  options.augmentation = {.crop_padding = 2,
                          .padding = Augmentation::Padding::reflect,
                          .flip = Augmentation::Flip::alternating,
                          .cutout_side = 3,
                          .cutout_fill = {10, 20, 30}};
  options.log_interval = 3;
  options.settings = {{"seed", "5"}};
  return options;
}

// A run on the device under test, or on `device`.
struct Session {
  Session(const ModelSpec& of, Way way, TrainOptions with, DType storage = DType::f32,
          std::int64_t pictures = 18, Device device = test_device(), std::FILE* lines = nullptr)
      : spec(of),
        log(lines == nullptr ? stderr : lines, lines == nullptr ? LogLevel::quiet : LogLevel::info),
        context(device, pool, log),
        providers(make_device_conv2d_providers(device, log)),
        train(test::random_dataset(spec, pictures)),
        test(test::random_dataset(spec, 3)),
        parameters(spec, DType::f32, device, storage),
        options(std::move(with)) {
    parameters.initialise(3);
    options.resident = way != Way::fed;
    options.graph = way == Way::graph;
    trainer.emplace(spec, parameters, options, train, test, context, providers);
  }
  TrainEnd run(int stop_after = std::numeric_limits<int>::max()) {
    int steps = 0;
    return trainer->run(seen, [&] { return ++steps >= stop_after; });
  }
  // Everything that training changes: weights and running statistics.
  std::vector<std::vector<float>> values() const {
    std::vector<std::vector<float>> all;
    for (const Parameter& p : parameters.all()) all.push_back(elements_of<float>(p.value));
    return all;
  }
  // Why the run ended early.
  std::string fault() {
    try {
      run();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::diverged);
      return error.what();
    }
    return "it did not diverge";
  }

  ModelSpec spec;
  Log log;
  ThreadPool pool{1};
  Context context;
  Conv2dProviders providers;
  Dataset train, test;
  ParameterStore parameters;
  TrainOptions options;
  std::optional<Trainer> trainer;
  Seen seen;
};

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-12 * wanted[i]);
}

// Replayed and queued op by op: all bits. Fed by the host: all bits of what is trained; the
// reported losses of a batch are added up in another order.
void expect_the_same_run(const ModelSpec& spec, const TrainOptions& options, DType storage) {
  Session graph(spec, Way::graph, options, storage), eager(spec, Way::eager, options, storage);
  Session fed(spec, Way::fed, options, storage);
  for (Session* one : {&graph, &eager, &fed}) EXPECT_EQ(one->run(), TrainEnd::finished);
  EXPECT_EQ(graph.values(), eager.values());
  EXPECT_EQ(graph.values(), fed.values());
  EXPECT_EQ(graph.seen.logged, eager.seen.logged);
  EXPECT_EQ(graph.seen.epochs, eager.seen.epochs);
  EXPECT_EQ(graph.seen.batches, fed.seen.batches);
  expect_near(graph.seen.logged, fed.seen.logged);
  expect_near(graph.seen.epochs, fed.seen.epochs);
  if (graph.parameters.loss_scale().empty()) return;
  const LossScaling scaled = loss_scaling(graph.parameters), by_host = loss_scaling(fed.parameters);
  EXPECT_EQ(scaled.scale, by_host.scale);
  EXPECT_EQ(scaled.good_steps, by_host.good_steps);
  EXPECT_EQ(scaled.skipped_steps, by_host.skipped_steps);
}

class ResidentRun : public testing::TestWithParam<std::string> {
 protected:
  static ModelSpec spec() {
    return with_dropout(GetParam() == "lenet" ? lenet() : test::mini_resnet(8));
  }
};

// Two epochs of five batches, the last of two pictures.
TEST_P(ResidentRun, GraphEagerAndFedByTheHostAgreeBitForBit) {
  for (const DType storage : {DType::f32, DType::bf16, DType::f16}) {
    SCOPED_TRACE(name_of(storage));
    expect_the_same_run(spec(), two_epochs(), storage);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, ResidentRun, testing::Values("lenet", "mini_resnet"),
                         [](const auto& name) { return name.param; });

TEST(ResidentOptimizers, AgreeBitForBitToo) {
  for (const OptimizerKind kind :
       {OptimizerKind::adadelta, OptimizerKind::adam, OptimizerKind::adamw}) {
    SCOPED_TRACE(name_of(kind));
    TrainOptions options = two_epochs();
    options.optimizer = {.kind = kind, .weight_decay = 0.01};
    options.augmentation = {};
    options.normalisation.mode = Normalisation::Mode::per_image;
    expect_the_same_run(with_dropout(tiny()), options, DType::f32);
  }
}

// Groups with rates of their own, one of which stops within the first epoch: a second graph.
TEST(ResidentOptimizers, GroupsAgreeBitForBitAndStop) {
  TrainOptions options = two_epochs();
  if (test::kWithSanitizer) options.epoch_count = 1;
  options.drop_last = true;
  options.optimizer = test::speedrun_optimizer(4, 0.75);
  options.augmentation.cutout_side = 0;
  const ModelSpec spec = test::narrow_speedrun(16, {4, 4, 4});
  for (const DType storage : {DType::f32, DType::f16}) {
    SCOPED_TRACE(name_of(storage));
    Session graph(spec, Way::graph, options, storage), eager(spec, Way::eager, options, storage),
        fed(spec, Way::fed, options, storage);
    EXPECT_EQ(graph.trainer->batch_count(), 4);
    const auto bias = elements_of<float>(graph.parameters.find("whiten.bias").value);
    for (Session* session : {&graph, &eager, &fed}) session->run();
    EXPECT_EQ(graph.values(), eager.values());
    EXPECT_EQ(graph.values(), fed.values());
    EXPECT_NE(elements_of<float>(graph.parameters.find("whiten.bias").value), bias);
  }
}

// The augmentation of a flip and crop run changes the result: the tests above compare something.
TEST(ResidentOptimizers, AugmentationAndDropoutAreAtWork) {
  TrainOptions plain = two_epochs();
  plain.augmentation = {};
  Session with(tiny(), Way::graph, two_epochs()), without(tiny(), Way::graph, plain);
  Session dropping(with_dropout(tiny()), Way::graph, plain);
  for (Session* one : {&with, &without, &dropping}) one->run();
  EXPECT_NE(with.values(), without.values());
  EXPECT_NE(dropping.values(), without.values());
}

// The host runs ahead, but not by more than it may, and in the end every step has been told of.
TEST(ResidentLag, IsBounded) {
  TrainOptions options = two_epochs();
  options.batch_size = 1;
  options.augmentation = {};
  Session run(tiny(), Way::graph, options, DType::f32, 45);
  std::int64_t asked = 0, furthest = 0;
  const auto stop = [&] {
    ++asked;
    furthest = std::max(furthest, asked - static_cast<std::int64_t>(run.seen.batches.size()));
    return false;
  };
  EXPECT_EQ(run.trainer->run(run.seen, stop), TrainEnd::finished);
  ASSERT_EQ(run.seen.batches.size(), 90u);
  for (std::size_t i = 0; i < 90; ++i)
    EXPECT_EQ(run.seen.batches[i], static_cast<std::int64_t>(i % 45));
  EXPECT_LE(furthest, static_cast<std::int64_t>(DeviceStep::kLag));
  if (test_device().type == DeviceType::emu) {
    EXPECT_GE(furthest, 8);
  }
}

class ResidentFolder : public TempFolderTest {};

// The same step, layer and rate as where the host looks at every loss, found while later steps are
// queued already.
TEST(ResidentFault, ALossThatIsNotFiniteIsReportedWithItsStep) {
  TrainOptions options = two_epochs();
  options.batch_size = 2;
  options.schedule = {.kind = ScheduleKind::linear, .base = 0.01, .final_ratio = 1e8};
  Session fed(lenet(), Way::fed, options, DType::f32, 41);
  const std::string wanted = fed.fault();
  EXPECT_THAT(wanted, testing::HasSubstr("the loss is not finite"));
  EXPECT_GE(fed.seen.batches.size(), 2u);
  for (const Way way : {Way::graph, Way::eager}) {
    Session resident(lenet(), way, options, DType::f32, 41);
    EXPECT_EQ(resident.fault(), wanted);
    EXPECT_EQ(resident.seen.batches, fed.seen.batches);
    EXPECT_EQ(resident.values(), fed.values());
  }
}

// The checkpoint is that of the last good step before it.
TEST_F(ResidentFolder, AFaultLeavesTheLastGoodCheckpoint) {
  std::vector<std::int64_t> steps;
  for (const Way way : {Way::fed, Way::graph}) {
    TrainOptions options = two_epochs();
    options.schedule = {.base = 30.0};
    options.checkpoint = folder() / ("way" + std::to_string(static_cast<int>(way)));
    options.checkpoint_interval = 2;
    Session session(lenet(), way, options);
    session.fault();
    Session resumed(lenet(), way, options);
    resumed.trainer->resume(options.checkpoint);
    steps.push_back(resumed.trainer->position().step);
    for (const auto& values : resumed.values())
      for (const float value : values) ASSERT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(steps[0], steps[1]);
}

TEST_F(ResidentFolder, ResumesBitForBit) {
  for (const DType storage : {DType::f32, DType::f16})
    for (const int stop_after : {1, 3, 7}) {
      TrainOptions options = two_epochs();
      options.checkpoint = folder() / "at";
      const ModelSpec spec = with_dropout(lenet());
      Session through(spec, Way::graph, options, storage);
      through.run();
      Session stopped(spec, Way::graph, options, storage),
          resumed(spec, Way::graph, options, storage);
      EXPECT_EQ(stopped.run(stop_after), TrainEnd::stopped);
      resumed.trainer->resume(options.checkpoint);
      EXPECT_EQ(resumed.trainer->position().step, stop_after);
      EXPECT_EQ(resumed.run(), TrainEnd::finished);
      EXPECT_EQ(resumed.values(), through.values());
    }
}

// A device that has no room for the pictures: the host feeds it, and the log says so.
struct SmallDevice {
  static constexpr std::size_t kLargest = std::size_t{1} << 20;
  SmallDevice() : backend(*test_device().backend), device{test_device().type, 0, &backend} {
    backend.allocate = [](int index, std::size_t size_bytes) -> void* {
      if (size_bytes > kLargest) throw Error(ErrorKind::io, "a small device", "is full");
      return test_device().backend->allocate(index, size_bytes);
    };
  }
  DeviceBackend backend;
  Device device;
};

TEST(ResidentData, IsStreamedWhereItDoesNotFit) {
  const SmallDevice small;
  std::FILE* const lines = std::tmpfile();
  TrainOptions options = two_epochs();
  options.augmentation = {};
  Session run(tiny(), Way::graph, options, DType::f32, 70000, small.device, lines);
  std::rewind(lines);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), lines));
  std::fclose(lines);
  EXPECT_THAT(text, testing::HasSubstr("since the data set does not fit: a small device: is full"));
}

// The planted fault: a step that fetches its loss cannot be captured.
TEST(ResidentCapture, RefusesAStepThatWaitsForTheHost) {
  Session run(tiny(), Way::eager, two_epochs());
  Network network(run.spec, run.parameters, run.context, run.providers, {.batch_size = 4});
  const auto capture = [&](bool sound) {
    const Graph graph = Graph::capture(run.context.device(), [&] {
      network.forward(run.context);
      sound ? network.score(run.context) : static_cast<void>(network.loss(run.context));
    });
  };
  network.forward(run.context);
  capture(true);
  std::string text;
  try {
    capture(false);
  } catch (const std::exception& error) {
    text = error.what();
  }
  if (test_device().type == DeviceType::emu) {
    EXPECT_THAT(text, testing::HasSubstr("copy_to_host while a graph is captured"));
  } else {
    EXPECT_FALSE(text.empty());
  }
  capture(true);
}

}  // namespace
}  // namespace kiln
