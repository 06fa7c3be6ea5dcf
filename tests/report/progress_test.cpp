#include "engine/report/progress.h"

#include <cmath>
#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/core/file.h"
#include "tests/support/count_allocations.h"

namespace kiln {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// A stream that is a string, and a clock that is set by hand.
class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : stream_(::open_memstream(&data_, &size_)) {}
  ~ProgressTest() override {
    std::fclose(stream_);
    std::free(data_);
  }
  ProgressOptions options(bool redraw) {
    ProgressOptions options;
    options.redraw = redraw;
    options.column_count = 100;
    options.now = [this] { return seconds_; };
    return options;
  }
  // What was written since the last call.
  std::string taken() {
    std::fflush(stream_);
    std::string text(data_ + seen_, size_ - seen_);
    seen_ = size_;
    return text;
  }

  char* data_ = nullptr;
  std::size_t size_ = 0, seen_ = 0;
  std::FILE* stream_;
  double seconds_ = 100.0;
};

EpochMetrics sample_epoch() {
  EpochMetrics metrics;
  metrics.epoch = 3;
  metrics.train_loss = 1.25;
  metrics.train_accuracy = 0.5;
  metrics.test_loss = 1.5;
  metrics.test_accuracy = 0.4567;
  metrics.images_per_second = 12345.6;
  metrics.learning_rate = 0.001;
  metrics.seconds = 4.75;
  metrics.waited_seconds = 0.04;
  return metrics;
}

TEST_F(ProgressTest, PlainLinesAreGolden) {
  ProgressOptions plain = options(false);
  plain.log_interval = 2;
  Progress progress(stream_, plain);
  progress.begin_epoch(3, 10, 5);
  progress.step(0, 2.0, 0.1, 1000);
  EXPECT_EQ(taken(), "");
  seconds_ += 2.0;
  progress.step(1, 1.5, 0.25, 1234.5);
  // 1 s a batch: three more of this epoch, and seven epochs of five.
  EXPECT_EQ(taken(),
            "epoch  3/10  batch 2/5  loss 1.5000  accuracy 25.0 %  1,234 img/s  0:38 left\n");
  progress.line("checkpoint written");
  EXPECT_EQ(taken(), "checkpoint written\n");
  progress.end_epoch(sample_epoch());
  EXPECT_EQ(taken(),
            "epoch  3/10  loss 1.2500  accuracy 50.00 %  test loss 1.5000  test accuracy 45.67 %  "
            "12,346 img/s  lr 0.001  4.8 s  waited 0.0 s\n");
}

TEST_F(ProgressTest, PlainLinesHoldNoControlCharactersAndAnIntervalOfZeroMeansEpochsOnly) {
  ProgressOptions plain = options(false);
  plain.log_interval = 0;
  {
    Progress progress(stream_, plain);
    progress.begin_epoch(1, 1, 50);
    for (int i = 0; i < 50; ++i) progress.step(i, std::nan(""), 0.5, 1e300);
    EXPECT_EQ(taken(), "");
    EpochMetrics epoch = sample_epoch();
    epoch.epoch = 1;
    epoch.test_loss = epoch.test_accuracy = epoch.waited_seconds = std::nan("");
    progress.end_epoch(epoch);
  }
  EXPECT_EQ(taken(), "epoch 1/1  loss 1.2500  accuracy 50.00 %  12,346 img/s  lr 0.001  4.8 s\n");
}

TEST_F(ProgressTest, TheTerminalLineIsGolden) {
  Progress progress(stream_, options(true));
  progress.begin_epoch(1, 2, 4);
  seconds_ += 1.0;
  progress.step(0, 2.0, 0.125, 1000);
  EXPECT_EQ(taken(),
            "\repoch 1/2  ######.....................   25 %  loss 2.0000  accuracy 12.5 %  "
            "0:07 left  1,000 img/s\x1b[K");
  progress.line("note");
  EXPECT_THAT(taken(), testing::StartsWith("\r\x1b[Knote\n\repoch 1/2"));
  progress.end_epoch(sample_epoch());
  const std::string last = taken();
  EXPECT_THAT(last, testing::StartsWith("\r\x1b[Kepoch"));
  EXPECT_THAT(last, EndsWith("\n"));
}

TEST_F(ProgressTest, RedrawsTenTimesASecondAtMostAndAlwaysAtTheEnd) {
  Progress progress(stream_, options(true));
  progress.begin_epoch(1, 1, 10001);
  int draw_count = 0;
  for (int i = 0; i < 10000; ++i) {
    seconds_ += 0.001;  // ten seconds in all
    progress.step(i, 1.0, 0.5, 1000);
    if (!taken().empty()) ++draw_count;
  }
  EXPECT_GE(draw_count, 95);
  EXPECT_LE(draw_count, 101);
  progress.step(10000, 1.0, 0.5, 1000);
  EXPECT_THAT(taken(), HasSubstr("100 %"));
}

TEST_F(ProgressTest, NeverWiderThanTheTerminal) {
  for (const bool unicode : {false, true})
    for (int columns = 1; columns <= 200; ++columns) {
      ProgressOptions narrow = options(true);
      narrow.column_count = columns;
      narrow.unicode = unicode;
      taken();
      Progress progress(stream_, narrow);
      progress.begin_epoch(100, 1000, 1000);
      seconds_ += 1;
      progress.step(500, 123.456, 0.5, 1234567);
      const std::string text = taken();
      const auto cells = std::count_if(text.begin() + 1, text.end() - 3, [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
      });
      EXPECT_LT(cells, std::max(columns, 2)) << text;
    }
}

TEST_F(ProgressTest, ColourOnlyWhereAskedFor) {
  ProgressOptions colourful = options(true);
  Progress plain(stream_, colourful);
  plain.begin_epoch(1, 1, 4);
  plain.step(1, 1, 1, 1);
  EXPECT_THAT(taken(), Not(testing::ContainsRegex("\x1b\\[[0-9]*m")));
  colourful.colour = true;
  Progress coloured(stream_, colourful);
  coloured.begin_epoch(1, 1, 4);
  coloured.step(1, 1, 1, 1);
  const std::string text = taken();
  EXPECT_THAT(text, HasSubstr("\x1b[32m"));
  EXPECT_LT(text.find("\x1b[32m"), text.rfind("\x1b[0m"));  // and switched off again
}

TEST_F(ProgressTest, TimeLeftCountsFromTheFirstBatchSeenAndKnowsEvaluation) {
  Progress progress(stream_, options(true));
  progress.begin_epoch(1, 2, 100);  // resumed: 90 batches were done before
  progress.step(90, 1, 1, 1);
  seconds_ += 1.0;
  progress.step(91, 1, 1, 1);
  EXPECT_THAT(taken(), HasSubstr("0:54 left"));  // 8 batches and a whole epoch at 0.5 s
  seconds_ += 9.0;                               // the rest, and an evaluation
  progress.end_epoch(sample_epoch());
  progress.begin_epoch(1, 2, 2);
  seconds_ += 1.0;
  progress.step(0, 1, 1, 1);
  EXPECT_THAT(taken(), HasSubstr("0:11 left"));  // one batch of a second, an epoch of ten
}

TEST_F(ProgressTest, AnUnfinishedLineIsEnded) {
  {
    Progress progress(stream_, options(true));
    progress.begin_epoch(1, 1, 10);
    progress.step(0, 1, 1, 1);
    taken();
  }
  EXPECT_EQ(taken(), "\n");
}

TEST_F(ProgressTest, AStepAllocatesNothing) {
  std::FILE* null = std::fopen("/dev/null", "w");
  ASSERT_NE(null, nullptr);
  for (const bool redraw : {false, true}) {
    ProgressOptions every = options(redraw);
    every.log_interval = 1;
    every.colour = every.unicode = redraw;
    every.column_count = 500;
    Progress progress(null, every);
    progress.begin_epoch(1, 1, 1000);
    const long long before = allocation_count();
    for (int i = 0; i < 1000; ++i) {
      seconds_ += 0.2;
      progress.step(i, 1.5, 0.5, 12345);
    }
    EXPECT_EQ(allocation_count(), before) << "redraw " << redraw;
  }
  const long long before = allocation_count();
  const std::string long_text(1000, 'x');
  EXPECT_GT(allocation_count(), before) << "the counter does not count";
  std::fclose(null);
}

// A real terminal, and the environment variables that matter.
class DetectTest : public testing::Test {
 protected:
  void SetUp() override {
    controller_ = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!controller_ || ::grantpt(controller_.get()) != 0 || ::unlockpt(controller_.get()) != 0)
      GTEST_SKIP() << "this system gives no pseudo-terminal";
    const int terminal = ::open(::ptsname(controller_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) GTEST_SKIP() << "the pseudo-terminal cannot be opened";
    terminal_ = ::fdopen(terminal, "w");
    set("TERM", "xterm");
    for (const char* name : {"NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE"}) set(name, nullptr);
    set("LANG", "C.UTF-8");
  }
  void TearDown() override {
    if (terminal_ != nullptr) std::fclose(terminal_);
  }
  static void set(const char* name, const char* value) {
    if (value == nullptr) {
      ::unsetenv(name);
    } else {
      ::setenv(name, value, 1);
    }
  }

  UniqueFd controller_;
  std::FILE* terminal_ = nullptr;
};

TEST_F(DetectTest, ATerminalIsRedrawn) {
  const ProgressOptions options = detect_progress_options(terminal_);
  EXPECT_TRUE(options.redraw);
  EXPECT_TRUE(options.colour);
  EXPECT_TRUE(options.unicode);
  EXPECT_EQ(options.column_count, 0);
}

TEST_F(DetectTest, DumbAndUnnamedTerminalsGetPlainLines) {
  set("TERM", "dumb");
  EXPECT_FALSE(detect_progress_options(terminal_).redraw);
  EXPECT_FALSE(detect_progress_options(terminal_).colour);
  set("TERM", nullptr);
  EXPECT_FALSE(detect_progress_options(terminal_).redraw);
}

TEST_F(DetectTest, NoColorColumnsAndTheLocaleAreRespected) {
  set("NO_COLOR", "1");
  set("COLUMNS", "72");
  set("LC_ALL", "C");  // stronger than LANG
  const ProgressOptions options = detect_progress_options(terminal_);
  EXPECT_TRUE(options.redraw);
  EXPECT_FALSE(options.colour);
  EXPECT_FALSE(options.unicode);
  EXPECT_EQ(options.column_count, 72);
  for (const char* bad : {"-1", "0", "x", "999999999999999999999"}) {
    set("COLUMNS", bad);
    EXPECT_EQ(detect_progress_options(terminal_).column_count, 0) << bad;
  }
}

TEST_F(DetectTest, AFileGetsPlainLines) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  EXPECT_FALSE(detect_progress_options(file).redraw);
  std::fclose(file);
}

TEST_F(DetectTest, TheWidthIsAskedOfTheTerminal) {
  winsize size{};
  size.ws_col = 40;
  size.ws_row = 20;
  ASSERT_EQ(::ioctl(controller_.get(), TIOCSWINSZ, &size), 0);
  ProgressOptions options = detect_progress_options(terminal_);
  options.colour = options.unicode = false;
  Progress progress(terminal_, options);
  progress.begin_epoch(1, 10, 100);
  progress.step(50, 1.5, 0.5, 1000);
  std::string text(400, '\0');
  const ssize_t got = ::read(controller_.get(), text.data(), text.size());
  ASSERT_GT(got, 0);
  text.resize(static_cast<std::size_t>(got));
  EXPECT_THAT(text, EndsWith("\x1b[K"));
  EXPECT_LT(text.size(), 40 + 4u);
}

}  // namespace
}  // namespace kiln
