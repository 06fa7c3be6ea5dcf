// Training runs that stop and go on, and checkpoints that are damaged.
#include "engine/train/checkpoint.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "engine/train/trainer.h"
#include "models/safetensors.h"
#include "models/zoo.h"
#include "tests/support/temp_folder.h"
#include "tests/train/fixture.h"

namespace kiln {
namespace {

using test::Workbench;

struct Seen final : TrainObserver {
  std::vector<double> losses;
  std::vector<double> epoch_losses, test_losses;
  void loss_logged(std::int64_t, double loss) override { losses.push_back(loss); }
  void epoch_ended(const EpochReport& r) override {
    epoch_losses.push_back(r.train_loss);
    test_losses.push_back(r.test_loss);
  }
};

// A run of two epochs of five steps (the last one partial), with dropout, augmentation, momentum.
struct TestRun {
  explicit TestRun(const Path& checkpoint, int worker_count = 0)
      : spec(mnist()),
        train(test::random_dataset(spec, 35)),
        test(test::random_dataset(spec, 13)),
        parameters(spec, DType::f32, Device{}) {
    parameters.initialise(5);
    options.epoch_count = 2;
    options.batch_size = 8;
    options.seed = 5;
    options.schedule.base = 0.05;
    options.augmentation.crop_padding = 2;
    options.worker_count = worker_count;
    options.log_interval = 3;
    options.checkpoint = checkpoint;
    options.settings = {{"seed", "5"}};
    trainer.emplace(spec, parameters, options, train, test, bench.context, bench.providers);
  }
  TrainEnd run(int stop_after = std::numeric_limits<int>::max()) {
    int steps = 0;
    return trainer->run(seen, [&] { return ++steps >= stop_after; });
  }
  std::vector<float> weights() const {
    const auto flat = parameters.flat_values().elements<float>();
    return {flat.begin(), flat.end()};
  }

  Workbench bench{2};
  ModelSpec spec;
  Dataset train, test;
  ParameterStore parameters;
  TrainOptions options;
  std::optional<Trainer> trainer;
  Seen seen;
};

class CheckpointTest : public TempFolderTest {
 protected:
  void SetUp() override {
    TempFolderTest::SetUp();
    path_ = folder() / "checkpoint.safetensors";
  }
  Path path_;
};

TEST_F(CheckpointTest, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  TestRun whole(folder() / "whole.safetensors");
  ASSERT_EQ(whole.run(), TrainEnd::finished);
  for (const int stop_after : {1, 2, 4, 5, 6, 8}) {
    TestRun first(path_);
    ASSERT_EQ(first.run(stop_after), TrainEnd::stopped) << stop_after;
    TestRun second(path_, stop_after % 2);
    second.trainer->resume(path_);
    ASSERT_EQ(second.run(), TrainEnd::finished);
    EXPECT_EQ(second.weights(), whole.weights()) << "stopped after " << stop_after;
    Seen both = first.seen;
    both.losses.insert(both.losses.end(), second.seen.losses.begin(), second.seen.losses.end());
    both.epoch_losses.insert(both.epoch_losses.end(), second.seen.epoch_losses.begin(),
                             second.seen.epoch_losses.end());
    EXPECT_EQ(both.losses, whole.seen.losses);
    EXPECT_EQ(both.epoch_losses, whole.seen.epoch_losses);
    EXPECT_EQ(read_file(path_, 1 << 24), read_file(folder() / "whole.safetensors", 1 << 24));
  }
}

TEST_F(CheckpointTest, ADivergedRunNamesStepLayerAndRateAndKeepsTheLastGoodCheckpoint) {
  TestRun run(path_);
  ASSERT_EQ(run.run(6), TrainEnd::stopped);
  const auto good = read_file(path_, 1 << 24);
  TestRun bad(path_);
  bad.options.schedule.base = 1e30;
  bad.trainer.emplace(bad.spec, bad.parameters, bad.options, bad.train, bad.test, bad.bench.context,
                      bad.bench.providers);
  bad.trainer->resume(path_);
  try {
    bad.run();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::diverged);
    EXPECT_THAT(error.what(), testing::HasSubstr("step 8"));
    EXPECT_THAT(error.what(), testing::HasSubstr("1e+30"));
    EXPECT_THAT(error.what(), testing::HasSubstr("conv"));
  }
  EXPECT_EQ(read_file(path_, 1 << 24), good);
}

TEST_F(CheckpointTest, RefusesOtherSettingsByName) {
  TestRun run(path_);
  ASSERT_EQ(run.run(2), TrainEnd::stopped);
  TestRun other(path_);
  Optimizer optimizer({}, other.parameters);
  try {
    load_checkpoint(path_, other.parameters, optimizer, {{"seed", "6"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("--seed 5, not 6"));
  }
}

// Earlier builds had one batch a step and did not say so.
TEST_F(CheckpointTest, AFileThatNamesNoMicroBatchesHadOne) {
  TestRun run(path_), other(path_);
  ASSERT_EQ(run.run(2), TrainEnd::stopped);
  Optimizer optimizer({}, other.parameters);
  EXPECT_NO_THROW(load_checkpoint(path_, other.parameters, optimizer, {{"accumulate", "1"}}));
  try {
    load_checkpoint(path_, other.parameters, optimizer, {{"accumulate", "2"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("--accumulate 1, not 2"));
  }
}

TEST_F(CheckpointTest, EveryTruncationIsRefused) {
  TestRun run(path_);
  ASSERT_EQ(run.run(2), TrainEnd::stopped);
  const auto whole = read_file(path_, 1 << 24);
  TestRun other(path_);
  Optimizer optimizer({}, other.parameters);
  for (const double part : {0.0, 0.0001, 0.01, 0.3, 0.9, 0.99999}) {
    const auto size = static_cast<std::size_t>(part * static_cast<double>(whole.size()));
    write_file_atomic(path_, std::span(whole).first(size));
    try {
      load_checkpoint(path_, other.parameters, optimizer, {});
      FAIL() << size;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(path_.string() + ": "));
      EXPECT_THAT(error.what(), testing::EndsWith("; remove it to begin anew"));
    }
  }
}

TEST_F(CheckpointTest, AFlippedBitIsRefused) {
  TestRun run(path_), other(path_);
  ASSERT_EQ(run.run(2), TrainEnd::stopped);
  const auto whole = read_file(path_, 1 << 24);
  const std::string_view text(reinterpret_cast<const char*>(whole.data()), whole.size());
  Optimizer optimizer({}, other.parameters);
  const std::size_t digit = text.find("\"step\":\"2\"") + 8;
  for (const std::size_t at : {digit, whole.size() / 2, whole.size() - 4, whole.size() - 1}) {
    auto bytes = whole;
    bytes[at] ^= std::byte{1};
    write_file_atomic(path_, bytes);
    try {
      load_checkpoint(path_, other.parameters, optimizer, {});
      ADD_FAILURE() << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), path_.string() +
                                  ": is damaged: it does not hold what was written to it; remove "
                                  "it to begin anew");
    }
  }
}

TEST_F(CheckpointTest, AFileOfAnEarlierBuildHasNoChecksum) {
  TestRun run(path_), other(path_);
  ASSERT_EQ(run.run(2), TrainEnd::stopped);
  const SafetensorsFile file(path_);
  SafetensorsMetadata metadata = file.metadata();
  EXPECT_EQ(metadata.erase("crc32"), 1u);
  write_safetensors(path_, file.entries(), metadata);
  Optimizer optimizer({}, other.parameters);
  EXPECT_EQ(load_checkpoint(path_, other.parameters, optimizer, {}).step, 2);
}

}  // namespace
}  // namespace kiln
