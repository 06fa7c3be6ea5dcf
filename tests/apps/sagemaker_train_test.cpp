// The training container as the platform meets it: folders in, folders out, signals and kills.
#include <csignal>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/report/metrics.h"
#include "models/safetensors.h"
#include "tests/apps/app_test.h"
#include "tests/support/sanitizers.h"

namespace kiln::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class SageMakerTrainTest : public AppTest {
 protected:
  // Folders of a container with 120 training and 24 test pictures as the channel training.
  std::string container(const std::string& name, const std::string& hyperparameters) {
    const std::string data = save_cifar(24);
    make_directories(path(name + "/input/data"));
    std::filesystem::create_directory_symlink(data, path(name + "/input/data/training"));
    write(name + "/input/config/hyperparameters.json", hyperparameters);
    write(name + "/input/config/resourceconfig.json",
          R"({"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "ethwe"})");
    write(name + "/input/config/inputdataconfig.json",
          R"({"training": {"TrainingInputMode": "FastFile"}})");
    return path(name);
  }
  static std::vector<std::string> command(const std::string& base,
                                          const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"/usr/bin/env", "SAGEMAKER_BASE_DIR=" + base,
                                      bin_folder() + "/kiln-sagemaker-train", "train"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static ProcessResult train(const std::string& base, const std::vector<std::string>& more = {}) {
    return run_process(command(base, more));
  }
  // Another one for every checkpoint that was written; 0 before the first.
  static std::uint64_t checkpoint_inode(const std::string& base) {
    struct stat status {};
    const std::string file = base + "/checkpoints/checkpoint.safetensors";
    return ::stat(file.c_str(), &status) == 0 ? status.st_ino : 0;
  }
  static std::string failure(const std::string& base) {
    return read_text_file(base + "/output/failure", 4096);
  }
  // X of "epoch: N - loss: X".
  static std::string last_loss_told(const std::string& out) {
    const std::string before = " - loss: ";
    const std::size_t at = out.rfind(before);
    return at == std::string::npos ? "none" : out.substr(at + before.size(), 18);
  }
  static std::vector<std::byte> weights(const std::string& base) {
    return read_file(base + "/model/model.safetensors", 1 << 26);
  }
  static std::vector<double> losses(const std::string& base) {
    std::vector<double> all;
    for (const StepMetrics& step : read_metrics(base + "/output/data/metrics.jsonl").steps)
      all.push_back(step.loss);
    return all;
  }
};

TEST_F(SageMakerTrainTest, AJobLeavesWhatTheContractNames) {
  const std::string base = container(
      "job", R"({"epochs": "2", "batch_size": "\"16\"", "sagemaker_program": "\"train.py\"",
                 "sagemaker_region": "\"us-east-1\""})");
  const ProcessResult result = train(base);
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* name :
       {"model/model.safetensors", "model/model.json", "model/model.pth",
        "checkpoints/checkpoint.safetensors", "output/success", "output/data/metrics.jsonl",
        "output/data/report.html", "output/data/filters.png", "output/data/config.toml"})
    EXPECT_TRUE(std::filesystem::exists(base + "/" + name)) << name;
  EXPECT_FALSE(std::filesystem::exists(base + "/output/failure"));
  EXPECT_FALSE(std::filesystem::exists(base + "/model/report.html"));
  using std::filesystem::perms;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(base + "/model"))
    EXPECT_NE(entry.status().permissions() & perms::others_read, perms::none) << entry.path();
  EXPECT_THAT(result.out, HasSubstr("\nSM_HP_BATCH_SIZE=16\n"));
  EXPECT_THAT(result.out, HasSubstr("\ntrain.py --batch_size 16 --epochs 2\n"));
  EXPECT_THAT(result.out, ContainsRegex("\n\\[1,     8\\] loss: 2\\.[0-9]{3}\n"));
  EXPECT_THAT(result.out, HasSubstr("\nReporting training SUCCESS\n"));
  EXPECT_EQ((result.out + result.err).find_first_of("\t\r"), std::string::npos);
}

TEST_F(SageMakerTrainTest, AValueIsNoLineOfTheLog) {
  const std::string base =
      container("job", R"({"epochs": "1", "backend": "a\tb\r\n[1,  2000] loss: 0.001\nend"})");
  const ProcessResult result = train(base);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out.find_first_of("\t\r"), std::string::npos);
  EXPECT_THAT(result.out, Not(HasSubstr("\n[1,  2000] loss: 0.001")));
  EXPECT_THAT(result.out, HasSubstr("SM_HP_BACKEND=a\\x09b\\x0d\\x0a[1,  2000]"));
}

TEST_F(SageMakerTrainTest, TheEnvironmentIsShownUnlessTheJobWantsLess) {
  const ProcessResult shown = train(container("job", R"({"epochs": "1"})"));
  ASSERT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, StartsWith("Training Env:\n\n{\n"));
  EXPECT_THAT(shown.out, HasSubstr("\nSM_HPS={\"epochs\":1}\n"));
  const ProcessResult quiet =
      train(container("quiet", R"({"epochs": "1", "sagemaker_container_log_level": "30"})"));
  ASSERT_EQ(quiet.code, 0) << quiet.err;
  EXPECT_THAT(quiet.out, Not(HasSubstr("SM_HPS")));
  EXPECT_THAT(quiet.out, HasSubstr("\nTraining is finished\n"));
}

TEST_F(SageMakerTrainTest, AFailureSaysWhyFirst) {
  const std::string base = container("job", R"({"epochs": "2", "colour": "red"})");
  const ProcessResult result = train(base);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(failure(base), StartsWith("hyperparameter colour: is known neither"));
  EXPECT_THAT(result.err, HasSubstr("train: hyperparameter colour: is known neither"));
  EXPECT_FALSE(std::filesystem::exists(base + "/model/model.json"));
  EXPECT_FALSE(std::filesystem::exists(base + "/output/success"));
}

TEST_F(SageMakerTrainTest, ADivergedRunFailsWithItsStep) {
  const std::string base = container("job", R"({"epochs": "3", "lr": "1e6"})");
  EXPECT_EQ(train(base).code, 1);
  EXPECT_THAT(failure(base), HasSubstr("learning rate 1e+06"));
}

TEST_F(SageMakerTrainTest, AJobOutlivesTheReaderOfItsLog) {
  const std::string base = container("job", R"({"epochs": "2", "batch_size": "16"})");
  for (const char* sink : {"| head -n 1", "> /dev/full"}) {
    const std::string script = "set -o pipefail; \"$0\" train " + std::string(sink);
    const ProcessResult result =
        run_process({"/usr/bin/env", "SAGEMAKER_BASE_DIR=" + base, "/bin/bash", "-c", script,
                     bin_folder() + "/kiln-sagemaker-train"});
    EXPECT_EQ(result.code, 0) << sink << result.err;
    EXPECT_THAT(result.err, HasSubstr("train: standard output: lines are lost: ")) << sink;
    for (const char* name : {"model/model.json", "model/model.pth", "output/success"})
      EXPECT_TRUE(std::filesystem::remove(base + "/" + name)) << sink << name;
    EXPECT_FALSE(std::filesystem::exists(base + "/output/failure")) << sink;
    std::filesystem::remove_all(base + "/checkpoints");
  }
}

TEST_F(SageMakerTrainTest, DataThatIsNoneFails) {
  const std::string base = container("job", "{}");
  std::filesystem::remove(base + "/input/data/training");
  make_directories(base + "/input/data/training");
  EXPECT_EQ(train(base).code, 1);
  EXPECT_THAT(failure(base), HasSubstr("input/data/training: holds no data set"));
}

TEST_F(SageMakerTrainTest, AChannelOfTestPicturesIsTheTestSet) {
  const std::string base = container("job", R"({"epochs": "1", "batch_size": "24"})");
  const std::string other = path("other-cifar");
  std::filesystem::rename(save_cifar(24), other);
  save_cifar(40);
  std::filesystem::create_directory_symlink(other, path("job/input/data/testing"));
  write("job/input/config/inputdataconfig.json", R"({"training": {}, "testing": {}})");
  const ProcessResult result = train(base);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("Accuracy: [0-9]+/24 ")) << "of 200 and 40 pictures beside";
  EXPECT_THAT(result.out, Not(HasSubstr("is not read")));
}

// What several hosts do: sagemaker_hosts_test.py.
TEST_F(SageMakerTrainTest, SeveralHostsNeedOneKey) {
  const std::string base = container("job", R"({"epochs": "1"})");
  write("job/input/config/resourceconfig.json",
        R"({"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})");
  std::vector<std::string> words = command(base);
  words.insert(words.begin() + 1, "KILN_SSH_DIR=" + path("nowhere"));
  EXPECT_EQ(run_process(words).code, 1);
  EXPECT_THAT(failure(base), HasSubstr("nowhere/id_ed25519: cannot be read"));
  std::filesystem::remove(base + "/output/failure");
  words.insert(words.begin() + 1, "KILN_HOST_TIMEOUT=soon");
  EXPECT_EQ(run_process(words).code, 1);
  EXPECT_THAT(failure(base), StartsWith("KILN_HOST_TIMEOUT: is soon, which is no number"));
}

TEST_F(SageMakerTrainTest, ContainersStartedByHandNeedNoConfiguration) {
  const std::string base = container("job", "{}");
  std::filesystem::remove_all(base + "/input/config");
  const ProcessResult result = train(base, {"--epochs", "1", "--batch-size", "24"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nSM_CHANNELS=[\"training\"]\n"));
}

TEST_F(SageMakerTrainTest, ASecondJobGoesOnWhereTheFirstEnded) {
  const std::string program = R"("sagemaker_program": "train_spot.py", "batch-size": "16",
      "log-interval": "4")";
  const std::string whole = container("whole", "{\"epochs\": \"3\", " + program + "}");
  ASSERT_EQ(train(whole).code, 0);
  const std::string base = container("job", "{\"epochs\": \"1\", " + program + "}");
  const ProcessResult first = train(base);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, ContainsRegex("\nepoch: 1 - loss: 2\\.[0-9]+\nTest set"));
  EXPECT_THAT(first.out, Not(HasSubstr("Checkpoint file found!")));
  EXPECT_TRUE(std::filesystem::exists(base + "/checkpoints/checkpoint.pth"));
  // Another instance: only the checkpoints come back.
  std::filesystem::remove_all(base + "/output");
  std::filesystem::remove_all(base + "/model");
  write("job/input/config/hyperparameters.json", "{\"epochs\": \"3\", " + program + "}");
  const ProcessResult second = train(base);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_THAT(first.out,
              HasSubstr("\nCreating Checkpointing directory " + base + "/checkpoints\n"));
  EXPECT_THAT(second.out, HasSubstr("\nCheckpointing directory " + base + "/checkpoints exists\n"));
  EXPECT_THAT(second.out, HasSubstr("\nCheckpoint file found!\n"));
  EXPECT_THAT(second.out, HasSubstr("Checkpoint File Loaded - epoch_number: 1 - loss: " +
                                    last_loss_told(first.out).substr(0, 8)))
      << "the loss that the first job told last";
  EXPECT_THAT(second.out, HasSubstr("\nResuming training from epoch: 2\n"));
  EXPECT_EQ(weights(base), weights(whole));
  EXPECT_EQ(losses(base), losses(whole)) << "metrics of the first instance are not lost";
}

TEST_F(SageMakerTrainTest, ACheckpointOfAnotherProgramIsKept) {
  const std::string base = container(
      "job", R"({"epochs": "1", "batch-size": "16", "sagemaker_program": "train_spot.py"})");
  write("job/checkpoints/checkpoint.pth", "of PyTorch's script");
  const ProcessResult first = train(base);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("checkpoint.pth has no checkpoint.safetensors beside it"));
  EXPECT_EQ(read_text_file(base + "/checkpoints/checkpoint.before.pth", 99), "of PyTorch's script");
  const ProcessResult second = train(base, {"--epochs", "2"});
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_THAT(second.out, Not(HasSubstr("beside it")));
}

TEST_F(SageMakerTrainTest, GroupsOfParametersHaveNoCheckpointForPyTorch) {
  const std::string base = container("job", R"({"epochs": "1", "batch-size": "16",
      "sagemaker_program": "train_spot.py", "group": "match=*.bias lr=0.1"})");
  const ProcessResult result = train(base);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("kiln: checkpoint.pth is not written"));
  EXPECT_FALSE(std::filesystem::exists(base + "/checkpoints/checkpoint.pth"));
  EXPECT_TRUE(std::filesystem::exists(base + "/model/model.pth"));
}

TEST_F(SageMakerTrainTest, AJobMayNameItsFolders) {
  const std::string named = R"("sagemaker_program": "train_spot.py", "batch-size": "16",
      "log-interval": "4", "model-dir": ")" +
                            path("m") + R"(", "checkpoint_path": ")" + path("c/d") +
                            R"(", "output-dir": ")" + path("o") + "\"}";
  const std::string whole = container(
      "whole", R"({"epochs": "3", "batch-size": "16", "sagemaker_program": "train_spot.py"})");
  ASSERT_EQ(train(whole).code, 0);
  const std::string base = container("job", "{\"epochs\": \"1\", " + named);
  const ProcessResult first = train(base);
  ASSERT_EQ(first.code, 0) << first.err;
  for (const char* name : {"m/model.safetensors", "m/model.pth", "c/d/checkpoint.safetensors",
                           "c/d/checkpoint.pth", "c/d/metrics.jsonl", "o/metrics.jsonl"})
    EXPECT_TRUE(std::filesystem::exists(path(name))) << name;
  for (const char* name : {"checkpoints", "model/model.pth", "output/data/metrics.jsonl"})
    EXPECT_FALSE(std::filesystem::exists(base + "/" + name)) << name;
  EXPECT_THAT(first.out, HasSubstr("\nCreating Checkpointing directory " + path("c/d") + "\n"));
  // Another instance: only the checkpoints come back.
  std::filesystem::remove_all(path("o"));
  write("job/input/config/hyperparameters.json", "{\"epochs\": \"3\", " + named);
  const ProcessResult second = train(base);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(read_file(path("m/model.safetensors"), 1 << 26), weights(whole));
  EXPECT_EQ(read_metrics(path("o/metrics.jsonl")).epochs.size(), 3u)
      << "metrics of the first instance are not lost";
}

TEST_F(SageMakerTrainTest, ProcessesShareAJob) {
  const std::string settings = R"("sagemaker_program": "train_ddp.py", "batch-size": "24",
      "epochs": "2", "log-interval": "1")";
  const std::string alone = container("alone", "{" + settings + "}");
  ASSERT_EQ(train(alone).code, 0);
  const std::string base =
      container("job", "{" + settings + R"(, "sagemaker_mpi_num_of_processes_per_host": "2"})");
  // Open MPI ends with memory that it still holds.
  std::vector<std::string> words = command(base);
  words.insert(words.begin() + 1, "ASAN_OPTIONS=detect_leaks=0");
  const ProcessResult result = run_process(words);
  ASSERT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nProcesses 60/120 (50%) of train data\n"));
  EXPECT_THAT(result.out,
              ContainsRegex("Test set: Average loss: 2\\.[0-9]{4}, Accuracy: [0-9]+/24 "));
  const auto count = [&](std::string_view text) {
    std::size_t found = 0;
    for (std::size_t at = result.out.find(text); at != std::string::npos;
         at = result.out.find(text, at + 1))
      ++found;
    return found;
  };
  EXPECT_EQ(count("Invoking script"), 1u) << "told once, not by every process";
  EXPECT_EQ(count("Train Epoch: 1 [24/120 (20%)]"), 1u);
  EXPECT_EQ(count("Reporting training SUCCESS"), 1u);
  // The global batch is the same: sums in another order apart, so are the losses.
  const std::vector<double> one = losses(alone), two = losses(base);
  ASSERT_EQ(one.size(), two.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], two[i], 1e-5);
}

TEST_F(SageMakerTrainTest, SigtermSavesTheModelAndEndsWell) {
  const std::string base = container("job", R"({"epochs": "1000000", "batch_size": "16"})");
  const ProcessResult result = run_and_signal(command(base), SIGTERM, [&](int) {
    return std::filesystem::exists(base + "/checkpoints/checkpoint.safetensors");
  });
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::exists(base + "/model/model.json"));
  EXPECT_TRUE(std::filesystem::exists(base + "/output/success"));
}

TEST_F(SageMakerTrainTest, SigtermReachesProcess1) {
  if (::geteuid() != 0) GTEST_SKIP() << "a namespace of processes needs root";
  const std::string base = container("job", R"({"epochs": "1000000", "batch_size": "16"})");
  // The program is process 1 of its namespace; `kill` outside of it sends the signal.
  const std::string script = "unshare --pid --fork --mount-proc -- " + bin_folder() +
                             "/kiln-sagemaker-train train & "
                             "until [ -e \"$0/checkpoints/checkpoint.safetensors\" ]; do "
                             "sleep 0.05; kill -0 $! || exit 9; done; "
                             "pkill -TERM -P $!; wait $!";
  const ProcessResult result =
      run_process({"/usr/bin/env", "SAGEMAKER_BASE_DIR=" + base, "/bin/bash", "-c", script, base});
  if (result.err.find("unshare failed") != std::string::npos)
    GTEST_SKIP() << "this system lets nobody make a namespace: " << result.err;
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_TRUE(std::filesystem::exists(base + "/model/model.json"));
}

TEST_F(SageMakerTrainTest, KillsAtRandomMomentsChangeNoBit) {
  constexpr int kKills = kWithSanitizer ? 3 : 6;
  const std::string hyperparameters =
      std::string(R"({"epochs": ")") + (kWithSanitizer ? "16" : "40") +
      R"(", "batch_size": "8", "checkpoint-interval": "5", "crop-padding": "2",
          "flip": "random", "log-interval": "5"})";
  const std::string whole = container("whole", hyperparameters);
  ASSERT_EQ(train(whole).code, 0);
  const std::string base = container("job", hyperparameters);
  std::mt19937 random(7);
  for (int i = 0; i < kKills; ++i) {
    // Some way into the run, and then at any moment of a step or of writing.
    std::uint64_t left = 1 + random() % 3;
    std::uint64_t seen = checkpoint_inode(base);
    const auto when = [&](int) {
      if (const std::uint64_t now = checkpoint_inode(base); now != seen) {
        seen = now;
        --left;
      }
      if (left == 0) ::usleep(static_cast<useconds_t>(random() % 3000));
      return left == 0;
    };
    EXPECT_EQ(run_and_signal(command(base), SIGKILL, when).code, 128 + SIGKILL);
    std::filesystem::remove_all(base + "/output");
  }
  const ProcessResult last = train(base);
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(weights(base), weights(whole));
  EXPECT_EQ(losses(base), losses(whole));
}

}  // namespace
}  // namespace kiln::test
