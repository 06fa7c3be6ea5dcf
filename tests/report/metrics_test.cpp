#include "engine/report/metrics.h"

#include <cmath>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;

EpochMetrics epoch_record(std::int64_t epoch, double seconds = 4.75) {
  EpochMetrics metrics;
  metrics.epoch = epoch;
  metrics.train_loss = 1.5 / static_cast<double>(epoch);
  metrics.train_accuracy = 0.4375;
  metrics.test_loss = 1.25;
  metrics.test_accuracy = 0.1;
  metrics.images_per_second = 10500;
  metrics.learning_rate = 0.001;
  metrics.seconds = seconds;
  return metrics;
}

class MetricsTest : public TempFolderTest {
 protected:
  Path path() const { return folder() / "metrics.jsonl"; }
  // Without the fsync of write_file_atomic, which the loop over every cut would wait for.
  void overwrite(std::string_view bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  std::string text() const { return read_text_file(path(), 1 << 20); }

  // Steps 1..4 with epoch 1 behind step 2 and epoch 2 behind step 4, from `first_step` on.
  void write_run(std::int64_t first_step, const std::optional<ResumePoint>& resume) {
    MetricsWriter writer(path(), resume);
    for (std::int64_t step = first_step; step <= 4; ++step) {
      writer.write(StepMetrics{.step = step, .loss = 1.0 / static_cast<double>(step)});
      if (step % 2 == 0) writer.write(epoch_record(step / 2));
    }
  }
};

TEST_F(MetricsTest, LinesAreGolden) {
  EXPECT_EQ(to_json_line(epoch_record(3)),
            "{\"epoch\":3,\"train_loss\":0.5,\"train_accuracy\":0.4375,\"test_loss\":1.25,"
            "\"test_accuracy\":0.1,\"images_per_second\":10500,\"learning_rate\":0.001,"
            "\"seconds\":4.75}\n");
  EXPECT_EQ(to_json_line(StepMetrics{.step = 100, .loss = 2.25}), "{\"step\":100,\"loss\":2.25}\n");
}

TEST_F(MetricsTest, NanAndInfinityAreNullAndComeBackAsNan) {
  {
    MetricsWriter writer(path());
    writer.write(StepMetrics{.step = 1, .loss = std::nan("")});
    writer.write(StepMetrics{.step = 2, .loss = -std::numeric_limits<double>::infinity()});
  }
  EXPECT_EQ(text(), "{\"step\":1,\"loss\":null}\n{\"step\":2,\"loss\":null}\n");
  EXPECT_TRUE(std::isnan(read_metrics(path()).steps[1].loss));
}

TEST_F(MetricsTest, ReadsBackEveryDigit) {
  EpochMetrics written = epoch_record(7);
  written.train_loss = 0.1 + 0.2;
  written.test_loss = 1e-300;
  MetricsWriter(path()).write(written);
  const MetricsLog log = read_metrics(path());
  ASSERT_EQ(log.epochs.size(), 1u);
  EXPECT_EQ(log.epochs[0].epoch, 7);
  EXPECT_EQ(log.epochs[0].train_loss, written.train_loss);
  EXPECT_EQ(log.epochs[0].test_loss, written.test_loss);
  EXPECT_EQ(log.epochs[0].learning_rate, 0.001);
  EXPECT_TRUE(std::isnan(log.epochs[0].waited_seconds));
}

TEST_F(MetricsTest, ANewRunStartsANewFile) {
  write_run(1, {});
  const std::string first = text();
  write_run(1, {});
  EXPECT_EQ(text(), first);
}

TEST_F(MetricsTest, EveryLineIsThereAtOnce) {
  MetricsWriter writer(path());
  writer.write(StepMetrics{.step = 1, .loss = 1});
  EXPECT_EQ(text(), "{\"step\":1,\"loss\":1}\n");
}

TEST_F(MetricsTest, AResumedRunEndsWithTheFileOfAnUninterruptedOne) {
  write_run(1, {});
  const std::string whole = text();
  // Killed after step 4, back to the checkpoint of step 2 with epoch 1 finished.
  write_run(3, ResumePoint{.epoch = 1, .step = 2});
  EXPECT_EQ(text(), whole);
  // The same when the checkpoint was taken inside epoch 2, before its epoch record.
  write_run(4, ResumePoint{.epoch = 1, .step = 3});
  EXPECT_EQ(text(), whole);
  // And with a torn tail of every length.
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    overwrite(whole.substr(0, cut));
    const MetricsLog before = read_metrics(path());
    std::int64_t step = before.steps.empty() ? 0 : before.steps.back().step;
    const bool epoch_missing = step % 2 == 0 && std::int64_t(before.epochs.size()) < step / 2;
    if (epoch_missing) --step;
    write_run(step + 1, ResumePoint{.epoch = step / 2, .step = step});
    ASSERT_EQ(text(), whole) << "cut at byte " << cut;
  }
}

TEST_F(MetricsTest, ResumingTellsWhatItCutOff) {
  write_run(1, {});
  const std::size_t size = text().size();
  {
    const MetricsWriter writer(path(), ResumePoint{.epoch = 1, .step = 2});
    EXPECT_EQ(writer.dropped_bytes(), size - text().size());
    EXPECT_EQ(writer.unreadable_bytes(), 0u);
  }
  overwrite("{\"step\":1,\"loss\":1}\n{\"ste");
  {
    const MetricsWriter writer(path(), ResumePoint{.epoch = 0, .step = 9});
    EXPECT_EQ(writer.dropped_bytes(), 5u);
    EXPECT_EQ(writer.unreadable_bytes(), 5u);
  }
  overwrite("{\"step\":1,\"loss\":1}\nrubbish\n{\"step\":2,\"loss\":1}\n");
  const MetricsWriter writer(path(), ResumePoint{.epoch = 0, .step = 9});
  EXPECT_EQ(writer.unreadable_bytes(), 28u);
  EXPECT_EQ(text(), "{\"step\":1,\"loss\":1}\n");
}

TEST_F(MetricsTest, ResumingWithoutAFileStartsOne) {
  write_run(3, ResumePoint{.epoch = 1, .step = 2});
  EXPECT_EQ(read_metrics(path()).steps.size(), 2u);
}

TEST_F(MetricsTest, ReadingIgnoresATornTailAndNamesABadLine) {
  overwrite("{\"step\":1,\"loss\":1}\n{\"step\":2,\"lo");
  EXPECT_EQ(read_metrics(path()).steps.size(), 1u);
  const std::string nested(100000, '[');
  for (const std::string& bad :
       {std::string("x"), std::string("{}"), std::string("[]"), std::string("7"),
        std::string("{\"step\":\"1\",\"loss\":1}"), std::string("{\"step\":1}"),
        std::string("{\"epoch\":1,\"train_loss\":1}"), nested, "{\"step\":" + nested}) {
    overwrite("{\"step\":1,\"loss\":1}\n" + bad + "\n");
    try {
      read_metrics(path());
      FAIL() << "taken: " << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl: line 2 is not a record"));
    }
  }
}

TEST_F(MetricsTest, AFullDiskIsAnErrorThatNamesTheFile) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  std::filesystem::create_symlink("/dev/full", path());
  try {
    MetricsWriter writer(path());
    writer.write(StepMetrics{.step = 1, .loss = 1});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_THAT(error.what(), HasSubstr("metrics.jsonl"));
  }
}

}  // namespace
}  // namespace kiln
