// kiln train with several ranks as a person meets it: threads, and processes over TCP and Open MPI,
// that train what one rank trains, stops, kills, and ranks that do not fit together.
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/comm/launch.h"
#include "engine/comm/sockets.h"
#include "engine/report/metrics.h"
#include "models/safetensors.h"
#include "models/zoo.h"
#include "tests/apps/app_test.h"
#include "tests/apps/missing_mpi.h"
#include "tests/support/sanitizers.h"
#include "tests/train/mini_resnet.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;

class RanksTest : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    data_ = save_cifar(48);  // 240 training pictures, 48 test pictures
    if (::geteuid() == 0) {
      ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
      ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
  }
  // 50 steps of 24 pictures, 20 under a sanitizer, however many ranks share them.
  std::vector<std::string> command(const std::string& model_dir,
                                   const std::vector<std::string>& more) const {
    std::vector<std::string> words = {bin_folder() + "/kiln-train",
                                      "--data",
                                      data_,
                                      "--model-dir",
                                      path(model_dir),
                                      "--threads",
                                      "1",
                                      "--batch-size",
                                      "24",
                                      "--global-batch",
                                      "--epochs",
                                      kWithSanitizer ? "2" : "5",
                                      "--lr",
                                      "0.001",
                                      "--no-report"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  ProcessResult train(const std::string& model_dir, const std::vector<std::string>& more) const {
    return run_process(command(model_dir, more));
  }
  static std::vector<std::string> ranks(int count, const std::string& comm) {
    return {"--ranks", std::to_string(count), "--comm", comm};
  }
  static std::vector<std::string> plus(std::vector<std::string> words,
                                       const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<float> weights(const std::string& model_dir) const {
    const SafetensorsFile file(path(model_dir + "/model.safetensors"));
    std::vector<float> all;
    for (const SafetensorsEntry& entry : file.entries())
      if (entry.dtype == DType::f32) {
        const auto* values = reinterpret_cast<const float*>(entry.bytes.data());
        all.insert(all.end(), values, values + entry.bytes.size() / sizeof(float));
      }
    return all;
  }
  double difference(const std::string& a, const std::string& b) const {
    const std::vector<float> x = weights(a), y = weights(b);
    EXPECT_EQ(x.size(), y.size());
    double sum = 0, norm = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto p = static_cast<double>(x[i]), q = static_cast<double>(y[i]);
      sum += (p - q) * (p - q);
      norm += q * q;
    }
    return std::sqrt(sum / norm);
  }
  void expect_what_one_rank_trains(const std::vector<std::string>& model, const std::string& comm) {
    ASSERT_EQ(train("one", model).code, 0);
    for (const int count : {2, 3, 4}) {
      const std::string dir = comm + std::to_string(count);
      const ProcessResult result = train(dir, plus(model, ranks(count, comm)));
      ASSERT_EQ(result.code, 0) << result.err;
      EXPECT_THAT(result.err, HasSubstr("ranks: " + std::to_string(count) + " ranks"));
      EXPECT_LE(difference(dir, "one"), 1e-5) << count;
    }
  }
  void expect_the_bits_of_one_rank(const std::string& comm) {
    const std::vector<std::string> more = {"--deterministic", "--lr", "0.01"};
    ASSERT_EQ(train("exact", more).code, 0);
    for (const int count : {2, 3, 4}) {
      const std::string dir = "exact-" + comm + std::to_string(count);
      ASSERT_EQ(train(dir, plus(more, ranks(count, comm))).code, 0);
      EXPECT_EQ(weights(dir), weights("exact")) << count;
    }
  }
  std::string plain_resnet() {
    ModelSpec spec = mini_resnet(32);
    spec.layers = without_norm(spec.layers);
    write("resnet.json", to_json(spec));
    return path("resnet.json");
  }

  std::string data_;
};

TEST_F(RanksTest, ThreadsTrainWhatOneRankTrains) { expect_what_one_rank_trains({}, "threads"); }

TEST_F(RanksTest, ThreadsTrainAResnet) {
  expect_what_one_rank_trains({"--model", plain_resnet()}, "threads");
}

TEST_F(RanksTest, DeterministicRanksHaveTheBitsOfOne) { expect_the_bits_of_one_rank("threads"); }

TEST_F(RanksTest, MicroBatchesAreALargerBatchAndARunKeepsThem) {
  const std::vector<std::string> micro = {"--batch-size", "8", "--accumulate", "3"};
  ASSERT_EQ(train("one", {}).code, 0);
  ASSERT_EQ(train("m", plus(micro, {"--epochs", "1"})).code, 0);
  EXPECT_TRUE(refused(train("m", {"--batch-size", "8", "--resume"}), 1, {"--accumulate 3, not 1"}));
  const ProcessResult resumed = train("m", plus(plus(ranks(3, "threads"), micro), {"--resume"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_LE(difference("m", "one"), 1e-5);
  EXPECT_TRUE(refused(train("m", {"--accumulate", "0"}), 2, {"--accumulate"}));
}

TEST_F(RanksTest, SynchronousBatchNormIsWhatOneRankTrainsAndARunKeepsIt) {
  write("norm.json", to_json(mini_resnet(32)));
  const std::vector<std::string> model = {"--model", path("norm.json"), "--epochs", "2"};
  const auto sync = plus(plus(model, ranks(3, "threads")), {"--sync-bn"});
  ASSERT_EQ(train("one", model).code, 0);
  ASSERT_EQ(train("sync", sync).code, 0);
  EXPECT_LE(difference("sync", "one"), 1e-5);
  EXPECT_TRUE(refused(train("sync", plus(model, {"--resume"})), 1, {"--sync-bn true, not false"}));
}

TEST_F(RanksTest, GradientsTravelAsBf16WhereAskedFor) {
  ASSERT_EQ(train("wide", ranks(2, "threads")).code, 0);
  const ProcessResult narrow = train("narrow", plus(ranks(2, "threads"), {"--wire", "bf16"}));
  ASSERT_EQ(narrow.code, 0) << narrow.err;
  EXPECT_THAT(narrow.err, HasSubstr("sent as bf16"));
  EXPECT_NE(weights("narrow"), weights("wide"));
  EXPECT_LE(difference("narrow", "wide"), 1e-3);
  EXPECT_TRUE(refused(train("m", {"--wire", "fp8"}), 2, {"--wire"}));
  EXPECT_TRUE(refused(train("m", {"--wire", "bf16", "--overlap", "on"}), 2, {"--overlap on"}));
}

TEST_F(RanksTest, LinearScalingMultipliesTheRate) {
  ASSERT_EQ(train("scaled", plus(ranks(2, "threads"), {"--lr-scaling", "linear"})).code, 0);
  ASSERT_EQ(train("twice", plus(ranks(2, "threads"), {"--lr", "0.002"})).code, 0);
  EXPECT_EQ(weights("scaled"), weights("twice"));
}

TEST_F(RanksTest, ThreadsStopAndGoOnWithAnotherNumberOfRanks) {
  ASSERT_EQ(train("whole", {}).code, 0);
  ASSERT_EQ(train("m", plus(ranks(4, "threads"), {"--epochs", "1"})).code, 0);
  const ProcessResult resumed = train("m", plus(ranks(3, "threads"), {"--resume"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_LE(difference("m", "whole"), 1e-5);
}

TEST_F(RanksTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(
      refused(train("m", plus(ranks(30, "threads"), {})), 2, {"cannot be shared by 30 ranks"}));
  EXPECT_TRUE(refused(train("m", {"--lr-scaling", "square"}), 2, {"--lr-scaling"}));
  EXPECT_TRUE(refused(train("m", {"--comm", "pigeon"}), 2, {"--comm"}));
  const auto without_mpirun =
      plus({"/usr/bin/env", "PATH=/nowhere"}, command("m", ranks(2, "mpi")));
  EXPECT_TRUE(refused(run_process(without_mpirun), 1, {"--comm mpi", "cannot be used", "threads"}));
}

TEST_F(RanksTest, RefusesVariablesThatDoNotFit) {
  const auto torchrun = [&](const std::vector<std::string>& variables,
                            const std::vector<std::string>& more) {
    return run_process(plus(plus({"/usr/bin/env", "WORLD_SIZE=2"}, variables), command("m", more)));
  };
  EXPECT_TRUE(refused(torchrun({"RANK=1"}, {}), 2, {"MASTER_ADDR", "not set", "torchrun"}));
  EXPECT_TRUE(refused(torchrun({"RANK=1", "MASTER_ADDR=127.0.0.1"}, {}), 2, {"MASTER_PORT"}));
  EXPECT_TRUE(refused(torchrun({"RANK=2"}, {}), 2, {"RANK", "WORLD_SIZE is 2"}));
  EXPECT_TRUE(refused(torchrun({"RANK=1"}, {"--ranks", "3"}), 2, {"--ranks 3"}));
  EXPECT_TRUE(refused(torchrun({"RANK=1"}, {"--comm", "threads"}), 2, {"--comm threads", "tcp"}));
  EXPECT_TRUE(refused(train("m", plus(ranks(2, "tcp"), {"--hosts", "a:1,b:1"})), 2, {"--hosts"}));
}

// Runs whose ranks are processes, disturbed from outside.
class ProcessRanksTest : public RanksTest {
 protected:
  static std::string process_ranks() {
    return std::string(std::filesystem::read_symlink("/proc/self/exe").parent_path()) +
           "/process_ranks";
  }
  // The process of a marked run whose environment has `variable`; 0 where there is none.
  static int process_of(const std::string& mark, const std::string& variable) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string environment = '\0' + read_proc(entry.path() / "environ");
      const auto has = [&](const std::string& setting) {
        return environment.find('\0' + setting + '\0') != std::string::npos;
      };
      if (has(variable) && has(mark)) return std::stoi(name);
    }
    return 0;
  }
  // Empty where the process has ended meanwhile, or is not ours.
  static std::string read_proc(const Path& file) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "r"),
                                                             &std::fclose);
    std::string text;
    char bytes[4096];
    while (in) {
      const std::size_t got = std::fread(bytes, 1, sizeof bytes, in.get());
      text.append(bytes, got);
      if (got < sizeof bytes) break;
    }
    return text;
  }
  // Sends `signal` to a rank of four, whose environment has `variable`, in the middle of a long
  // run.
  ProcessResult disturb(const std::string& comm, const std::string& variable, int signal,
                        const std::vector<std::string>& more) {
    const std::string mark = "KILN_TEST_RUN=" + path(variable + std::to_string(signal));
    std::filesystem::remove_all(path("m"));
    const auto under_way = [&](int) {
      if (!std::filesystem::exists(path("m/checkpoint.safetensors"))) return false;
      const int process = process_of(mark, variable);
      if (process == 0) return false;
      ::kill(process, signal);
      return true;
    };
    const auto words = command("m", plus(plus(ranks(4, comm), {"--epochs", "100000"}), more));
    return run_and_signal(plus({"/usr/bin/env", mark}, words), SIGCONT, under_way);
  }
  void expect_death_is_survived(const std::string& comm, const std::string& variable) {
    for (int rank = 0; rank < 4; ++rank) {
      const ProcessResult result = disturb(comm, variable + std::to_string(rank), SIGKILL,
                                           {"--checkpoint-interval", "3", "--log-interval", "1"});
      EXPECT_NE(result.code, 0);
      EXPECT_THAT(result.err, HasSubstr("kiln train: rank " + std::to_string(rank) + ": has died"));
      expect_run_goes_on(comm, 3);
    }
  }
  // What is lost is less than the steps between two checkpoints, and one more that was under way.
  void expect_run_goes_on(const std::string& comm, std::int64_t interval) {
    const SafetensorsMetadata saved = SafetensorsFile(path("m/checkpoint.safetensors")).metadata();
    const MetricsLog metrics = read_metrics(path("m/metrics.jsonl"));
    ASSERT_FALSE(metrics.steps.empty());
    EXPECT_LE(metrics.steps.back().step - std::stoll(saved.at("step")), interval);
    const std::string epochs = std::to_string(std::stoll(saved.at("epoch")) + 1);
    const ProcessResult resumed =
        train("m", plus(ranks(3, comm), {"--resume", "--epochs", epochs}));
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_THAT(resumed.err,
                HasSubstr(saved.at("epoch") + " epochs and " + saved.at("epoch_step")));
  }
  void expect_hanging_is_named(const std::string& comm, const std::string& variable) {
    for (const int rank : {0, 2}) {
      const ProcessResult result =
          disturb(comm, variable + std::to_string(rank), SIGSTOP, {"--rank-timeout", "2"});
      EXPECT_NE(result.code, 0);
      EXPECT_THAT(result.err, HasSubstr("kiln train: rank " + std::to_string(rank) + ": hangs"));
    }
  }
  void expect_a_stop_writes_a_checkpoint(const std::string& comm) {
    const auto words = command("m", plus(ranks(3, comm), {"--epochs", "100000"}));
    const ProcessResult stopped = run_and_signal(words, SIGTERM, [&](int) {
      return std::filesystem::exists(path("m/checkpoint.safetensors"));
    });
    EXPECT_EQ(stopped.code, 0) << stopped.err;
    EXPECT_THAT(stopped.out, HasSubstr("stopped after step"));
    EXPECT_TRUE(std::filesystem::exists(path("m/model.json")));
    const int epochs =
        std::stoi(SafetensorsFile(path("m/checkpoint.safetensors")).metadata().at("epoch"));
    const ProcessResult resumed =
        train("m", plus(ranks(2, comm), {"--resume", "--epochs", std::to_string(epochs + 1)}));
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("resume: "));
  }
};

class TcpRanksTest : public ProcessRanksTest {
 protected:
  // Starts each command as one rank, with torchrun's variables, and waits for all of them.
  static ProcessResult as_ranks(const std::vector<std::vector<std::string>>& commands) {
    std::string script = "code=0\n";
    for (std::size_t rank = 0; rank < commands.size(); ++rank) {
      script += "RANK=" + std::to_string(rank) + " LOCAL_RANK=" + std::to_string(rank);
      for (const std::string& word : commands[rank]) script += " '" + word + "'";
      script += " & ranks=\"$ranks $!\"\n";
    }
    script += "for rank in $ranks; do wait $rank || code=$?; done; exit $code";
    const std::string size = std::to_string(commands.size());
    const std::string port = std::to_string(comm::listen_at("127.0.0.1", 0, 1).port);
    return run_process({"/usr/bin/env", "WORLD_SIZE=" + size, "LOCAL_WORLD_SIZE=" + size,
                        "MASTER_ADDR=localhost", "MASTER_PORT=" + port, "/bin/sh", "-c", script});
  }
};

TEST_F(TcpRanksTest, CollectivesHoldTheirContract) {
  for (const std::size_t count : {2u, 3u}) {
    const ProcessResult result =
        as_ranks(std::vector<std::vector<std::string>>(count, {process_ranks()}));
    EXPECT_EQ(result.code, 0) << result.err << result.out;
    EXPECT_EQ(lines_of(result.out).size(), count);
  }
}

// Both add in the order of the ranks.
TEST_F(TcpRanksTest, ProcessesTrainWhatThreadsTrainToTheBit) {
  const std::vector<std::string> resnet = {"--model", plain_resnet(), "--overlap", "on"};
  for (const auto& [count, model] :
       {std::pair{2, std::vector<std::string>{}}, std::pair{4, std::vector<std::string>{}},
        std::pair{3, resnet}}) {
    ASSERT_EQ(train("threads", plus(model, ranks(count, "threads"))).code, 0);
    const ProcessResult result = train("tcp", plus(model, ranks(count, "tcp")));
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("ranks: " + std::to_string(count) + " ranks, TCP"));
    EXPECT_EQ(weights("tcp"), weights("threads")) << count;
  }
}

TEST_F(TcpRanksTest, TorchrunsVariablesAreEnough) {
  ASSERT_EQ(train("threads", ranks(2, "threads")).code, 0);
  const auto rank = command("m", {"--log-ranks"});
  const ProcessResult result = as_ranks({rank, rank});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("[0] ranks: 2 ranks, TCP"));
  EXPECT_THAT(result.err, HasSubstr("[1] ranks: 2 ranks, TCP"));
  EXPECT_EQ(weights("m"), weights("threads"));
}

TEST_F(TcpRanksTest, RanksThatDifferAreNamed) {
  const auto rank = command("m", {});
  const ProcessResult result = as_ranks({rank, rank, command("m", {"--lr", "0.5"})});
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("rank 2: has another --lr than rank 0: 0.5, not 0.001"));
}

TEST_F(TcpRanksTest, ARankThatNeverComesIsNamed) {
  const auto rank = command("m", {"--rank-timeout", "1"});
  const ProcessResult result = as_ranks({rank, {"/bin/true"}, rank});
  EXPECT_NE(result.code, 0);
  const std::string line = "kiln train: rank 1: did not come to rank 0 within 1 s";
  EXPECT_THAT(lines_of(result.err), testing::Contains(HasSubstr(line)).Times(2));
}

TEST_F(TcpRanksTest, AStopWritesACheckpointOnce) { expect_a_stop_writes_a_checkpoint("tcp"); }

TEST_F(TcpRanksTest, ARankThatIsKilledIsNamedAndItsRunGoesOn) {
  expect_death_is_survived("tcp", "RANK=");
}

TEST_F(TcpRanksTest, ARankThatHangsIsNamed) { expect_hanging_is_named("tcp", "RANK="); }

TEST_F(TcpRanksTest, TheBenchmarksSumsAreRight) {
  const auto bench = [](const std::string& ranks) {
    return run_process({bin_folder() + "/kiln-bench", "allreduce", "--comm", "tcp", "--ranks",
                        ranks, "--max-bytes", "65536", "--factor", "8", "--seconds", "0"});
  };
  const ProcessResult three = bench("3"), one = bench("1");
  EXPECT_EQ(three.code, 0) << three.err;
  EXPECT_THAT(three.out, HasSubstr("3 ranks, TCP"));
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_THAT(one.out, HasSubstr("1 rank"));
}

class MpiRanksTest : public ProcessRanksTest {
 protected:
  void SetUp() override {
    RanksTest::SetUp();
    if (const std::string why = missing_mpi(); !why.empty()) GTEST_SKIP() << why;
  }
  static std::vector<std::string> mpirun(const std::string& count) {
    return {find_mpirun(), "--oversubscribe", "--bind-to", "none", "-n", count};
  }
};

TEST_F(MpiRanksTest, CollectivesHoldTheirContract) {
  for (const char* count : {"1", "2", "3", "4"}) {
    const ProcessResult result = run_process(plus(mpirun(count), {process_ranks()}));
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(lines_of(result.out).size(), static_cast<std::size_t>(std::atoi(count)));
  }
}

TEST_F(MpiRanksTest, ProcessesTrainWhatOneRankTrains) { expect_what_one_rank_trains({}, "mpi"); }

TEST_F(MpiRanksTest, DeterministicProcessesHaveTheBitsOfOneRank) {
  expect_the_bits_of_one_rank("mpi");
}

TEST_F(MpiRanksTest, ProcessesTrainAResnet) {
  expect_what_one_rank_trains({"--model", plain_resnet(), "--overlap", "on"}, "mpi");
  ASSERT_EQ(
      train("behind", plus(ranks(2, "mpi"), {"--model", plain_resnet(), "--overlap", "off"})).code,
      0);
  EXPECT_EQ(weights("behind"), weights("mpi2"));
}

TEST_F(MpiRanksTest, StartedByMpirunItself) {
  ASSERT_EQ(train("threads", ranks(2, "threads")).code, 0);
  const ProcessResult result = run_process(plus(mpirun("2"), command("m", {"--log-ranks"})));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("[0] model: lenet"));
  EXPECT_THAT(result.err, HasSubstr("[1] model: lenet"));
  EXPECT_EQ(weights("m"), weights("threads"));  // a + b = b + a
}

TEST_F(MpiRanksTest, RanksThatDifferAreNamedOnAll) {
  const auto differ = [&](const std::vector<std::string>& other) {
    auto words = plus(mpirun("2"), command("m", {}));
    words.push_back(":");
    words = plus(words, {"-n", "1"});
    return run_process(plus(words, command("m", other)));
  };
  const ProcessResult rate = differ({"--lr", "0.5"});
  EXPECT_NE(rate.code, 0);
  EXPECT_THAT(rate.err, HasSubstr("rank 2: has another --lr than rank 0: 0.5, not 0.001"));
  const std::string other_data = path("other");
  std::filesystem::copy(data_, other_data, std::filesystem::copy_options::recursive);
  for (const auto& file : std::filesystem::directory_iterator(other_data))
    if (file.path().filename() == "data_batch_1.bin") {
      std::string bytes = read_text_file(file.path(), 1 << 24);
      bytes[0] = static_cast<char>((bytes[0] + 1) % 10);  // the first label
      write_file_atomic(file.path(), bytes);
    }
  const ProcessResult data = differ({"--data", other_data});
  EXPECT_NE(data.code, 0);
  EXPECT_THAT(data.err, HasSubstr("rank 2: has another data than rank 0"));
}

TEST_F(MpiRanksTest, AStopWritesACheckpointOnce) { expect_a_stop_writes_a_checkpoint("mpi"); }

TEST_F(MpiRanksTest, ARankThatIsKilledIsNamedAndItsRunGoesOn) {
  expect_death_is_survived("mpi", "OMPI_COMM_WORLD_RANK=");
}

TEST_F(MpiRanksTest, ARankThatHangsIsNamed) {
  expect_hanging_is_named("mpi", "OMPI_COMM_WORLD_RANK=");
}

}  // namespace
}  // namespace kiln::test
