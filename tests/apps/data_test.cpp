// kiln data, stopped in the middle: what it says, and what it leaves on the disk.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "engine/data/write.h"
#include "tests/apps/app_test.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

// Whether a process has blocked Ctrl-C, which kiln data does before its work begins.
bool asks_for_signals(int process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("SigBlk:")) return (std::stoull(line.substr(7), nullptr, 16) & 2U) != 0;
  return false;
}

class DataStopTest : public AppTest {
 protected:
  // A data set that takes seconds to write as pictures, also for a program that runs ten times
  // slower.
  std::string source() const {
    ThreadPool pool(2);
    const SynthOptions options{.train_count = kWithSanitizer ? 4'000 : 20'000, .test_count = 1'000};
    write_dataset(
        path("source"), DatasetFormat::cifar10_binary,
        {draw_synthetic(options, Split::train, pool), draw_synthetic(options, Split::test, pool)},
        pool);
    return path("source");
  }
  std::vector<std::string> hidden() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder()))
      if (entry.path().filename().string().front() == '.')
        names.push_back(entry.path().filename().string());
    return names;
  }
  // Pictures are being written.
  bool half_written() const {
    for (const std::string& name : hidden()) {
      const Path first = folder() / name / "train";
      if (std::filesystem::exists(first)) return true;
    }
    return false;
  }
  std::vector<std::string> import_pictures() const {
    return {"kiln-data", "import", path("source"), "--to", path("new"),
            "--format",  "folder", "--threads",    "1"};
  }
};

const std::pair<int, const char*> kSignals[] = {{SIGINT, "Ctrl-C"}, {SIGTERM, "SIGTERM"}};

TEST_F(DataStopTest, ImportStoppedWhileItWritesLeavesNothing) {
  const std::string from = source();
  for (const auto& [signal, name] : kSignals) {
    const ProcessResult r =
        run_and_signal(import_pictures(), signal, [&](int) { return half_written(); });
    EXPECT_FALSE(r.timed_out);
    EXPECT_EQ(r.code, 128 + signal) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_EQ(lines_of(r.err).back(),
              std::string("kiln data: stopped by ") + name + "; nothing was written");
    EXPECT_EQ(hidden(), std::vector<std::string>{});
    EXPECT_FALSE(std::filesystem::exists(path("new")));
  }
}

TEST_F(DataStopTest, SynthStoppedWhileItDrawsLeavesNothing) {
  for (const auto& [signal, name] : kSignals) {
    const ProcessResult r = run_and_signal({"kiln-data", "synth", path("new"), "--threads", "1"},
                                           signal, asks_for_signals);
    EXPECT_FALSE(r.timed_out);
    EXPECT_EQ(r.code, 128 + signal) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_EQ(r.err, std::string("kiln data: stopped by ") + name + "; nothing was written\n");
    EXPECT_EQ(hidden(), std::vector<std::string>{});
    EXPECT_FALSE(std::filesystem::exists(path("new")));
  }
}

TEST_F(DataStopTest, ImportStoppedWhileItReadsPicturesLeavesNothing) {
  const std::string from = source();
  ASSERT_EQ(run_process(import_pictures()).code, 0);
  const ProcessResult r =
      run_and_signal({"kiln-data", "import", path("new"), "--to", path("again"), "--threads", "1"},
                     SIGINT, asks_for_signals);
  EXPECT_EQ(r.code, 130) << r.err;
  EXPECT_EQ(hidden(), std::vector<std::string>{});
  EXPECT_FALSE(std::filesystem::exists(path("again")));
}

TEST_F(DataStopTest, WhatAKilledRunLeavesIsRemovedByTheNext) {
  const std::string from = source();
  const ProcessResult killed =
      run_and_signal(import_pictures(), SIGKILL, [&](int) { return half_written(); });
  EXPECT_EQ(killed.code, 128 + SIGKILL);
  ASSERT_EQ(hidden().size(), 1U);
  const ProcessResult next = run_process({"kiln-data", "import", from, "--to", path("new")});
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_EQ(hidden(), std::vector<std::string>{});
  EXPECT_TRUE(std::filesystem::exists(path("new")));
}

// A signal that the parent had ignored (nohup) stays ignored.
TEST_F(DataStopTest, AnIgnoredSignalStaysIgnored) {
  const std::string command = "trap '' INT; exec " + bin_folder() + "/kiln-data synth " +
                              path("new") + " --train-count 5000 --test-count 100";
  const ProcessResult r = run_and_signal({"/bin/sh", "-c", command}, SIGINT, [](int process) {
    std::error_code error;
    const Path program =
        std::filesystem::read_symlink("/proc/" + std::to_string(process) + "/exe", error);
    return program.filename() == "kiln-data";
  });
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_TRUE(std::filesystem::exists(path("new")));
}

}  // namespace
}  // namespace kiln::test
