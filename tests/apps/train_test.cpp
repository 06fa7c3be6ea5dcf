// kiln train as a person meets it: flags, files, signals, kills, and bad input.
#include <csignal>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "engine/report/metrics.h"
#include "models/safetensors.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class TrainTest : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    data_ = save_cifar(24);  // 120 training pictures, 24 test pictures
  }

  std::vector<std::string> command(const std::string& model_dir,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {
        "kiln-train", "--data", data_,          "--model-dir", path(model_dir),
        "--threads",  "2",      "--batch-size", "16",          "--no-report"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  ProcessResult train(const std::string& model_dir,
                      const std::vector<std::string>& more = {}) const {
    return run_process(command(model_dir, more));
  }
  // The same under coreutils' timeout, which sends `signal` after `seconds`.
  ProcessResult train_until(const std::string& seconds, const std::string& signal,
                            const std::string& model_dir,
                            const std::vector<std::string>& more) const {
    std::vector<std::string> words = {"/usr/bin/timeout", "--preserve-status", "-s", signal,
                                      seconds};
    const std::vector<std::string> inner = command(model_dir, more);
    words.push_back(bin_folder() + "/" + inner[0]);
    words.insert(words.end(), inner.begin() + 1, inner.end());
    return run_process(words);
  }
  // What stands before and behind the command line is the shell's.
  ProcessResult train_in_shell(std::string line, const std::string& model_dir,
                               const std::vector<std::string>& more,
                               const std::string& behind = "") const {
    line += "exec '" + bin_folder() + "/kiln-train'";
    const std::vector<std::string> words = command(model_dir, more);
    for (std::size_t i = 1; i < words.size(); ++i) line += " '" + words[i] + "'";
    return run_process({"/bin/bash", "-c", line + behind});
  }
  static std::vector<std::string> with(std::vector<std::string> words,
                                       const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // Epochs that the checkpoint of a model directory has finished; 0 without one.
  int epochs_done(const std::string& model_dir) const {
    const Path checkpoint = path(model_dir + "/checkpoint.safetensors");
    if (!std::filesystem::exists(checkpoint)) return 0;
    return std::stoi(SafetensorsFile(checkpoint).metadata().at("epoch"));
  }
  std::vector<std::byte> weights(const std::string& model_dir) const {
    return read_file(path(model_dir + "/model.safetensors"), 1 << 26);
  }

  std::string data_;
};

TEST_F(TrainTest, WritesAModelDirectory) {
  const ProcessResult result =
      run_process({"kiln-train", "--data", data_, "--model-dir", path("m"), "--epochs", "2",
                   "--batch_size", "16", "--log-interval", "4"});
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* name :
       {"model.safetensors", "model.json", "checkpoint.safetensors", "metrics.jsonl", "config.toml",
        "report.html", "filters.png", "tensorboard"})
    EXPECT_TRUE(std::filesystem::exists(path("m/" + std::string(name)))) << name;
  const MetricsLog metrics = read_metrics(path("m/metrics.jsonl"));
  ASSERT_EQ(metrics.epochs.size(), 2u);
  EXPECT_EQ(metrics.epochs[1].epoch, 2);
  EXPECT_GT(metrics.epochs[1].images_per_second, 0);
  EXPECT_EQ(metrics.epochs[1].learning_rate, 0.001);
  ASSERT_EQ(metrics.steps.size(), 4u);  // 16 steps, every 4
  EXPECT_EQ(metrics.steps[3].step, 16);
  EXPECT_THAT(result.out, Not(HasSubstr("\r")));
  EXPECT_THAT(result.out, HasSubstr("epoch 2/2"));
  EXPECT_THAT(result.err, HasSubstr("device: cpu"));
}

TEST_F(TrainTest, TheResolvedConfigurationRepeatsTheRun) {
  ASSERT_EQ(train("a", {"--epochs", "1", "--lr", "0.02", "--nesterov", "--flip", "random",
                        "--crop-padding", "2", "--seed", "9"})
                .code,
            0);
  const ProcessResult again =
      run_process({"kiln-train", "--config", path("a/config.toml"), "--model-dir", path("b")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(weights("a"), weights("b"));
}

TEST_F(TrainTest, TheResolvedConfigurationHasEveryDigit) {
  const std::string rate = "0.012345678901234568";
  ASSERT_EQ(train("a", {"--epochs", "1", "--lr", rate}).code, 0);
  EXPECT_THAT(read_text_file(path("a/config.toml"), 1 << 16), HasSubstr("lr = " + rate + "\n"));
}

TEST_F(TrainTest, FlagsWinOverTheFile) {
  write("run.toml", "epochs = 3\nbatch_size = 8\nlr = 0.5\n");
  ASSERT_EQ(train("m", {"--config", path("run.toml"), "--epochs", "1", "--lr", "0.01"}).code, 0);
  const MetricsLog metrics = read_metrics(path("m/metrics.jsonl"));
  ASSERT_EQ(metrics.epochs.size(), 1u);
  // A list replaces the file's, it is not added to it.
  write("list.toml", "epochs = 1\nmean = [0.1, 0.2, 0.3]\nstd = [1, 1, 1]\n");
  ASSERT_EQ(train("l", {"--config", path("list.toml"), "--mean", "0.5", "0.4", "0.3"}).code, 0);
  EXPECT_NE(read_text_file(path("l/config.toml"), 1 << 16).find("mean = [0.5, 0.4, 0.3]"),
            std::string::npos);
  EXPECT_EQ(metrics.epochs[0].learning_rate, 0.01);
}

// The recipe's settings on a narrow network of the same names, whose groups it therefore fits.
TEST_F(TrainTest, ARecipeIsWrittenOutWholeAndWhatIsGivenWins) {
  ModelSpec narrow = speedrun94(10, {4, 4, 4});
  narrow.name = "narrow";
  write("narrow.json", to_json(narrow));
  const auto recipe = [&](const std::string& dir, const std::vector<std::string>& more) {
    return run_process(
        with({"kiln-train", "--recipe", "speedrun94-smoke", "--data", data_, "--model",
              path("narrow.json"), "--model-dir", path(dir), "--threads", "2", "--no-report"},
             more));
  };
  const ProcessResult result = recipe("a", {});
  ASSERT_EQ(result.code, 0) << result.err;
  // 120 pictures in steps of 50.
  EXPECT_EQ(SafetensorsFile(path("a/checkpoint.safetensors")).metadata().at("step"), "2");
  const std::string settings = read_text_file(path("a/config.toml"), 1 << 16);
  for (const char* line : {"batch-size = 50\n", "drop-last = true\n", "label-smoothing = 0.2\n",
                           "flip = \"alternating\"\n",
                           "group = [\"match=layers.*.conv*.weight optimizer=muon lr=0.24"})
    EXPECT_THAT(settings, HasSubstr(line));
  const ProcessResult again =
      run_process({"kiln-train", "--config", path("a/config.toml"), "--model-dir", path("b")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(weights("a"), weights("b"));

  write("run.toml", "lr = 0.5\nbatch-size = 40\ngroup = [\"match=head.* lr=2\"]\n");
  ASSERT_EQ(recipe("c", {"--config", path("run.toml"), "--batch-size", "30"}).code, 0);
  const std::string mixed = read_text_file(path("c/config.toml"), 1 << 16);
  for (const char* line : {"batch-size = 30\n", "lr = 0.5\n", "momentum = 0.85\n",
                           "group = [\"match=head.* lr=2\"]\n"})
    EXPECT_THAT(mixed, HasSubstr(line));
}

TEST_F(TrainTest, EveryRecipeIsRead) {
  for (const char* name : {"lenet", "resnet18", "resnet9", "speedrun94", "speedrun94-smoke"}) {
    // Read and resolved; what is missing comes behind it.
    EXPECT_TRUE(refused(run_process({"kiln-train", "--recipe", name, "--data", path("none"),
                                     "--model-dir", path("m")}),
                        1, {"none"}))
        << name;
    EXPECT_THAT(run_process({"kiln-train", "--help"}).out, HasSubstr(name));
  }
  EXPECT_TRUE(refused(train("m", {"--recipe", "fast"}), 2, {"fast", "speedrun94"}));
  write("loop.toml", "recipe = \"lenet\"\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("loop.toml")}), 2, {"recipe", "no setting"}));
}

TEST_F(TrainTest, ACheckpointBelongsToItsGroups) {
  ASSERT_EQ(train("m", {"--epochs", "1", "--group", "match=fc*.weight lr=0.1"}).code, 0);
  EXPECT_TRUE(refused(train("m", {"--epochs", "2", "--resume"}), 1, {"--group"}));
  ASSERT_EQ(train("m", {"--epochs", "2", "--resume", "--group", "match=fc*.weight lr=0.2"}).code,
            0);
}

TEST_F(TrainTest, DeterministicBitsDoNotDependOnTheThreads) {
  for (const char* threads : {"1", "2", "3"})
    ASSERT_EQ(train(std::string("t") + threads,
                    {"--epochs", "1", "--deterministic", "--threads", threads})
                  .code,
              0);
  EXPECT_EQ(weights("t1"), weights("t2"));
  EXPECT_EQ(weights("t1"), weights("t3"));
}

TEST_F(TrainTest, BadFlagsAreOneLineAndWriteNothing) {
  EXPECT_TRUE(refused(train("m", {"--epochs", "0"}), 2, {"--epochs"}));
  EXPECT_TRUE(refused(train("m", {"--epochs", "ten"}), 2, {"--epochs"}));
  EXPECT_TRUE(refused(train("m", {"--epochs", "3", "--epochs", "0.5"}), 2, {"cannot be 0.5;"}));
  for (const char* seed : {"-1", "18446744073709551616", "0x10", "010", "1.5"})
    EXPECT_TRUE(refused(train("m", {"--seed", seed}), 2, {"--seed: must be a whole number", seed}));
  EXPECT_TRUE(refused(train("m", {"--lr", "-1"}), 2, {"--lr"}));
  EXPECT_TRUE(refused(train("m", {"--lr", "nan"}), 2, {"--lr"}));
  EXPECT_TRUE(refused(train("m", {"--learning-rte", "1"}), 2, {"--learning-rte"}));
  EXPECT_TRUE(refused(train("m", {"--batch-size", "99999999999999999999"}), 2, {"--batch-size"}));
  EXPECT_TRUE(refused(train("m", {"--optimizer", "sdg"}), 2, {"sdg", "adamw"}));
  EXPECT_TRUE(refused(train("m", {"--optimizer", "muon"}), 2, {"--optimizer muon", "--group"}));
  EXPECT_TRUE(refused(train("m", {"--schedule", "cos"}), 2, {"cosine"}));
  EXPECT_TRUE(refused(train("m", {"--flip", "up"}), 2, {"alternating"}));
  EXPECT_TRUE(refused(train("m", {"--mean", "0.5"}), 2, {"--std"}));
  EXPECT_TRUE(refused(train("m", {"--mean", "nan", "--std", "1"}), 2, {"--mean"}));
  EXPECT_TRUE(refused(train("m", {"--mean", "0", "--std", "inf"}), 2, {"--std"}));
  EXPECT_TRUE(refused(train("m", {"--mean", "0", "--std", "1e-50"}), 2, {"--std"}));
  EXPECT_TRUE(refused(train("m", {"--momentum", "inf"}), 2, {"--momentum"}));
  EXPECT_TRUE(refused(train("m", {"--recipe", "speedrun94-smoke", "--optimizer", "adam"}), 2,
                      {"--optimizer adam", "--group", "in place of a --recipe"}));
  EXPECT_TRUE(refused(train("m", {"--group", "match=fc1.* rate=1"}), 2, {"--group", "rate=1"}));
  EXPECT_TRUE(refused(train("m", {"--drop-last", "--batch-size", "121"}), 2, {"batch"}));
  EXPECT_TRUE(refused(train("m", {"--nesterov", "--momentum", "0"}), 2, {"--nesterov"}));
  EXPECT_TRUE(refused(train("m", {"--model", "lenett"}), 2, {"lenett", "resnet18"}));
  EXPECT_FALSE(std::filesystem::exists(path("m")));
}

TEST_F(TrainTest, BadFilesAreOneLineAndWriteNothing) {
  write("bad.toml", "epochs = [\n");
  write("unknown.toml", "epochs = 1\ncolour = \"red\"\n");
  write("nested.toml", "[training]\nepochs = 1\n");
  write("net.json", "{\"layers\": []}");
  EXPECT_TRUE(refused(train("m", {"--config", path("bad.toml")}), 2, {"bad.toml", "line"}));
  EXPECT_TRUE(refused(train("m", {"--config", path("unknown.toml")}), 2, {"line 2", "colour"}));
  EXPECT_TRUE(refused(train("m", {"--config", path("nested.toml")}), 2, {"training"}));
  EXPECT_TRUE(refused(train("m", {"--config", path("absent.toml")}), 1, {"absent.toml"}));
  write("version.toml", "version = true\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("version.toml")}), 2, {"line 1", "version"}));
  write("empty.toml", "epochs = 1\nmodel_dir = \"\"\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("empty.toml")}), 2, {"line 2", "model_dir"}));
  write("twice.toml", "batch_size = 8\nbatch-size = 16\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("twice.toml")}), 2, {"batch", "given twice"}));
  write("flag.toml", "mean = [0.5, \"--help\"]\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("flag.toml")}), 2, {"--mean", "--help"}));
  write("list.toml", "lr = [0.1, 0.2]\n");
  EXPECT_TRUE(refused(train("m", {"--config", path("list.toml")}), 2, {"lr", "list"}));
  EXPECT_TRUE(refused(train("m", {"--data", path("absent")}), 1, {"absent"}));
  EXPECT_FALSE(std::filesystem::exists(path("m")));
  // These are found after the data set was read, which says so on standard error first.
  const ProcessResult spec = train("m", {"--model", path("net.json")});
  EXPECT_EQ(spec.code, 1);
  EXPECT_THAT(spec.err, HasSubstr("net.json"));
  const ProcessResult misfit = train("m", {"--model", "mnist"});
  EXPECT_EQ(misfit.code, 1);
  EXPECT_THAT(misfit.err, HasSubstr("32x32x3"));
  const ProcessResult nothing = train("m", {"--resume"});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("checkpoint.safetensors: does not exist"));
  EXPECT_FALSE(std::filesystem::exists(path("m")));
}

TEST_F(TrainTest, ADivergingRunLeavesWithThreeAndTheGoodCheckpoint) {
  ASSERT_EQ(train("m", {"--epochs", "1"}).code, 0);
  const auto good = read_file(path("m/checkpoint.safetensors"), 1 << 26);
  const ProcessResult result = train("m", {"--epochs", "3", "--lr", "1e6", "--resume"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("learning rate 1e+06"));
  EXPECT_EQ(read_file(path("m/checkpoint.safetensors"), 1 << 26), good);
}

// What a run leaves that does not depend on the clock.
void expect_same_metrics(const Path& a_file, const Path& b_file) {
  const MetricsLog a = read_metrics(a_file), b = read_metrics(b_file);
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (std::size_t i = 0; i < a.steps.size(); ++i) {
    EXPECT_EQ(a.steps[i].step, b.steps[i].step);
    EXPECT_EQ(a.steps[i].loss, b.steps[i].loss);
  }
  ASSERT_EQ(a.epochs.size(), b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    EXPECT_EQ(a.epochs[i].train_loss, b.epochs[i].train_loss);
    EXPECT_EQ(a.epochs[i].test_accuracy, b.epochs[i].test_accuracy);
  }
}

TEST_F(TrainTest, SignalsSaveAndLeaveAndResumeEqualsAnUninterruptedRun) {
  const std::vector<std::string> flags = {"--log-interval", "5", "--crop-padding", "2"};
  for (const auto& [signal, code] : {std::pair{"INT", 130}, std::pair{"TERM", 0}}) {
    SCOPED_TRACE(signal);
    const std::string cut = std::string("cut-") + signal, whole = std::string("whole-") + signal;
    const ProcessResult stopped =
        train_until("1.2", signal, cut, with(flags, {"--epochs", "1000000"}));
    ASSERT_EQ(stopped.code, code) << stopped.err;
    const std::string epochs = std::to_string(epochs_done(cut) + 2);
    ASSERT_EQ(train(cut, with(flags, {"--epochs", epochs, "--resume"})).code, 0);
    ASSERT_EQ(train(whole, with(flags, {"--epochs", epochs})).code, 0);
    EXPECT_EQ(weights(cut), weights(whole));
    expect_same_metrics(path(cut + "/metrics.jsonl"), path(whole + "/metrics.jsonl"));
  }
}

TEST_F(TrainTest, KilledAtAnyMomentTheLastCheckpointIsWhole) {
  const std::vector<std::string> flags = {"--log-interval", "1"};
  for (const char* seconds : {"0.04", "0.07", "0.11", "0.16", "0.2", "0.25"}) {
    const ProcessResult killed = train_until(
        seconds, "KILL", "cut",
        with(flags, {"--epochs", "1000000", "--checkpoint-interval", "1", "--resume-if-present"}));
    EXPECT_EQ(killed.code, 128 + SIGKILL);
    if (std::filesystem::exists(path("cut/checkpoint.safetensors"))) {
      EXPECT_NO_THROW(SafetensorsFile(path("cut/checkpoint.safetensors")));
    }
  }
  const std::string epochs = std::to_string(epochs_done("cut") + 1);
  ASSERT_EQ(train("cut", with(flags, {"--epochs", epochs, "--resume-if-present"})).code, 0);
  ASSERT_EQ(train("whole", with(flags, {"--epochs", epochs})).code, 0);
  EXPECT_EQ(weights("cut"), weights("whole"));
  expect_same_metrics(path("cut/metrics.jsonl"), path("whole/metrics.jsonl"));
}

// RLIMIT_FSIZE makes every write beyond 100 KB fail, as a full disk does: the checkpoint of 500 KB
// cannot be written.
TEST_F(TrainTest, AFailedWriteKeepsTheOldCheckpointAndNamesTheFile) {
  ASSERT_EQ(train("m", {"--epochs", "1"}).code, 0);
  const auto good = read_file(path("m/checkpoint.safetensors"), 1 << 26);
  const ProcessResult result =
      train_in_shell("trap '' XFSZ; ulimit -f 100; ", "m", {"--epochs", "2", "--resume"});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("checkpoint.safetensors"));
  EXPECT_EQ(read_file(path("m/checkpoint.safetensors"), 1 << 26), good);
  for (const auto& entry : std::filesystem::directory_iterator(path("m")))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("safetensors.")));
}

// A file that the run opens must not take the number of a standard file that is closed, and with it
// what is printed.
TEST_F(TrainTest, NothingIsPrintedIntoTheFilesOfTheRun) {
  const ProcessResult result = train_in_shell("", "m", {"--epochs", "2"}, " <&- >&- 2>&-");
  EXPECT_EQ(result.code, 1) << "standard output cannot be written to";
  EXPECT_EQ(read_metrics(path("m/metrics.jsonl")).epochs.size(), 2u);
  int file_count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path("m"))) {
    if (!entry.is_regular_file()) continue;
    const std::vector<std::byte> bytes = read_file(entry.path(), 1 << 26);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_EQ(text.find("epoch 1/2"), text.npos) << entry.path();
    ++file_count;
  }
  EXPECT_GT(file_count, 5);
}

TEST_F(TrainTest, HelpTeaches) {
  const ProcessResult result = run_process({"kiln-train", "--help"});
  EXPECT_EQ(result.code, 0);
  for (const char* word : {"Examples:", "--resume", "--config", "Exit codes"})
    EXPECT_THAT(result.out, HasSubstr(word));
}

}  // namespace
}  // namespace kiln::test
