// kiln speedrun as a person meets it: runs and their sums, a series that goes on, bad input.
#include <cmath>
#include <csignal>
#include <filesystem>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "models/zoo.h"
#include "tests/apps/app_test.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Speedrun : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    data_ = save_cifar(24);  // 120 training pictures, 24 test pictures
  }
  ProcessResult speedrun(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {
        "kiln", "speedrun", "--data", data_,          "--threads", "1",        "--epochs",
        "2",    "--lr",     "0.01",   "--batch-size", "32",        "--device", "cpu"};
    words.insert(words.end(), more.begin(), more.end());
    return run_process(words);
  }
  json kept(const std::string& name) const {
    return json::parse(read_text_file(path(name), 1 << 24));
  }

  std::string data_;
};

TEST_F(Speedrun, KeepsEveryRunAndTheirSums) {
  const ProcessResult result = speedrun(
      {"--runs", "3", "--tta", "mirror", "--json", path("runs.json"), "--plot", path("runs.svg")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("3 runs"));
  EXPECT_THAT(result.out, HasSubstr("clock, inside:"));
  EXPECT_THAT(result.err, HasSubstr("run 3 of 3: "));
  const json series = kept("runs.json");
  ASSERT_EQ(series["runs"].size(), 3u);
  double accuracy = 0, seconds = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const json& run = series["runs"][i];
    EXPECT_EQ(run["seed"], i + 1);
    EXPECT_EQ(run["images"], 24);
    EXPECT_EQ(run["trained_images"], 240);
    EXPECT_DOUBLE_EQ(run["accuracy"].get<double>(), run["hits"].get<double>() / 24);
    const json& sections = run["sections"];
    ASSERT_EQ(sections["epochs"].size(), 2u);
    EXPECT_NEAR(run["seconds"].get<double>(),
                sections["preparation"].get<double>() + sections["epochs"][0].get<double>() +
                    sections["epochs"][1].get<double>() + sections["evaluation"].get<double>(),
                1e-9);
    accuracy += run["accuracy"].get<double>() / 3;
    seconds += run["seconds"].get<double>() / 3;
  }
  const json& summary = series["summary"];
  EXPECT_NEAR(summary["accuracy"]["mean"].get<double>(), accuracy, 1e-12);
  EXPECT_NEAR(summary["seconds"]["mean"].get<double>(), seconds, 1e-9);
  EXPECT_NEAR(summary["seconds"]["standard_error"].get<double>() * std::sqrt(3.0),
              summary["seconds"]["standard_deviation"].get<double>(), 1e-12);
  EXPECT_EQ(series["settings"]["tta"], "\"mirror\"");
  EXPECT_EQ(series["environment"]["threads"], "1");
  EXPECT_FALSE(series["clock"]["inside"].empty());
  EXPECT_FALSE(series["clock"]["outside"].empty());
  const std::string plot = read_text_file(path("runs.svg"), 1 << 20);
  EXPECT_THAT(plot, HasSubstr("seconds by the clock"));
  EXPECT_EQ(plot.find("nan"), plot.npos);
}

TEST_F(Speedrun, WhitensAndLooksSixTimesWhereARecipeSaysSo) {
  if (kWithSanitizer) GTEST_SKIP() << "too slow under a sanitizer";
  const ProcessResult result =
      run_process({"kiln", "speedrun", "--data", data_, "--recipe", "speedrun94-smoke", "--device",
                   "cpu", "--runs", "1", "--json", path("runs.json")});
  ASSERT_EQ(result.code, 0) << result.err;
  const json series = kept("runs.json");
  EXPECT_EQ(series["settings"]["tta"], "\"translate\"");
  EXPECT_EQ(series["settings"]["drop-last"], "true");
  const json& run = series["runs"][0];
  EXPECT_EQ(run["trained_images"], 100);  // two steps of 50; the last 20 pictures are left out
  EXPECT_GT(run["sections"]["preparation"].get<double>(), 0.0);
}

// Two runs and then a third are the three of one call; what is finished is not run again.
TEST_F(Speedrun, GoesOnWithAStoppedSeries) {
  ASSERT_EQ(speedrun({"--runs", "3", "--json", path("whole.json")}).code, 0);
  ASSERT_EQ(speedrun({"--runs", "2", "--json", path("parts.json")}).code, 0);
  const json first = kept("parts.json");
  const ProcessResult result = speedrun({"--runs", "3", "--json", path("parts.json")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("resume: 2 finished runs"));
  const json whole = kept("whole.json"), parts = kept("parts.json");
  ASSERT_EQ(parts["runs"].size(), 3u);
  EXPECT_EQ(parts["runs"][1], first["runs"][1]);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(parts["runs"][i]["loss"], whole["runs"][i]["loss"]) << i;
    EXPECT_EQ(parts["runs"][i]["train_loss"], whole["runs"][i]["train_loss"]) << i;
  }
  EXPECT_NE(whole["runs"][0]["loss"], whole["runs"][1]["loss"]);
}

TEST_F(Speedrun, ASignalKeepsTheFinishedRuns) {
  const ProcessResult result =
      run_and_signal({"kiln-speedrun", "--data", data_, "--threads", "1", "--epochs", "20",
                      "--device", "cpu", "--runs", "100000", "--json", path("runs.json")},
                     SIGTERM, [&](int) { return std::filesystem::exists(path("runs.json")); });
  EXPECT_EQ(result.code, 143) << result.err;
  const json series = kept("runs.json");
  EXPECT_GE(series["runs"].size(), 1u);
  EXPECT_EQ(series["summary"]["runs"], series["runs"].size());
}

// Both pictures of a step of two micro-batches are trained on.
TEST_F(Speedrun, CountsThePicturesOfEveryMicroBatch) {
  ASSERT_EQ(speedrun({"--runs", "1", "--accumulate", "2", "--json", path("runs.json")}).code, 0);
  EXPECT_EQ(kept("runs.json")["runs"][0]["trained_images"], 240);
}

TEST_F(Speedrun, AStoppedSeriesSaysWhatItHas) {
  const ProcessResult result =
      run_and_signal({"kiln-speedrun", "--data", data_, "--threads", "1", "--epochs", "20",
                      "--device", "cpu", "--runs", "100000", "--json", path("runs.json")},
                     SIGINT, [&](int) { return std::filesystem::exists(path("runs.json")); });
  EXPECT_EQ(result.code, 130) << result.err;
  const std::string count = std::to_string(kept("runs.json")["runs"].size());
  EXPECT_THAT(result.err, HasSubstr(count + " finished runs are in " + path("runs.json")));
  EXPECT_THAT(result.out, HasSubstr(count + " runs"));
}

TEST_F(Speedrun, WhatCannotBeWrittenIsSaidBeforeTheFirstRun) {
  for (const char* flag : {"--json", "--plot"}) {
    const ProcessResult result = speedrun({"--runs", "1", flag, path("absent/file")});
    EXPECT_TRUE(refused(result, 1, {"absent/file", "cannot create"}));
    EXPECT_EQ(result.err.find("seed 1"), result.err.npos) << result.err;
  }
}

// Pictures or a spec file that have changed under the same name.
TEST_F(Speedrun, ASeriesIsOfTheSamePicturesAndTheSameNetwork) {
  ModelSpec spec = lenet();
  spec.name = "mine";
  write("mine.json", to_json(spec));
  const auto again = [&] {
    return speedrun({"--runs", "2", "--model", path("mine.json"), "--json", path("runs.json")});
  };
  ASSERT_EQ(again().code, 0);
  spec.layers.front().out_features = 4;
  write("mine.json", to_json(spec));
  EXPECT_TRUE(refused(again(), 1, {"runs whose network is mine "}));
  spec.layers.front().out_features = 6;
  write("mine.json", to_json(spec));
  EXPECT_EQ(again().code, 0);
  std::string bytes = read_text_file(data_ + "/test_batch.bin", 1 << 20);
  bytes[0] = static_cast<char>(bytes[0] == 1 ? 2 : 1);
  write_file_atomic(data_ + "/test_batch.bin", bytes);
  EXPECT_TRUE(refused(again(), 1, {"runs whose test set is 24 pictures, "}));
}

TEST_F(Speedrun, ALossThatIsNotFiniteNamesTheSeed) {
  const ProcessResult result = speedrun({"--runs", "1", "--lr", "1e6"});
  EXPECT_TRUE(refused(result, 3, {"seed 1: step ", "lower --lr"}));
  EXPECT_EQ(result.err.find("checkpoint"), result.err.npos) << result.err;
}

TEST_F(Speedrun, WhatDoesNotFitIsOneLine) {
  ASSERT_EQ(speedrun({"--runs", "1", "--json", path("runs.json")}).code, 0);
  const auto kept_file = read_file(path("runs.json"), 1 << 24);
  const ProcessResult other = speedrun({"--runs", "2", "--json", path("runs.json"), "--seed", "5"});
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("holds runs whose seed is 1, not 5; name another --json file"));
  EXPECT_EQ(read_file(path("runs.json"), 1 << 24), kept_file);
  for (const char* text : {"", "[]", "{\"format\": \"kiln-speedrun-1\"}", "\x80"}) {
    write("bad.json", text);
    const ProcessResult bad = speedrun({"--runs", "1", "--json", path("bad.json")});
    EXPECT_EQ(bad.code, 1);
    EXPECT_THAT(bad.err, HasSubstr("is no series of kiln speedrun"));
  }
  EXPECT_TRUE(refused(run_process({"kiln", "speedrun", "--runs", "1"}), 2, {"--data: is missing"}));
  EXPECT_TRUE(refused(speedrun({"--runs", "0"}), 2, {"--runs"}));
  EXPECT_TRUE(refused(speedrun({"--resume"}), 2, {"--resume", "series of runs"}));
  EXPECT_TRUE(refused(speedrun({"--tta", "all"}), 2, {"--tta all", "none, mirror or translate"}));
  EXPECT_TRUE(refused(speedrun({"--epoch", "3"}), 2, {"--epochs"}));
}

}  // namespace
}  // namespace kiln::test
