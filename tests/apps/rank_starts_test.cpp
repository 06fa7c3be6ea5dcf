// How ranks come to be: what launchers say, flags that do not fit, a stop before they are there,
// and what a run keeps when it goes on with another number of them.
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "engine/comm/launch.h"
#include "engine/comm/sockets.h"
#include "engine/comm/stop_signal.h"
#include "engine/report/metrics.h"
#include "tests/apps/app_test.h"
#include "tests/apps/missing_mpi.h"

namespace kiln::test {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class RankStartsTest : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    data_ = save_cifar(16);  // 80 training pictures, 16 test pictures
  }
  Words command(const Words& more) const {
    return Words{bin_folder() + "/kiln-train",
                 "--data",
                 data_,
                 "--model-dir",
                 path("m"),
                 "--threads",
                 "1",
                 "--batch-size",
                 "10",
                 "--epochs",
                 "1",
                 "--log-interval",
                 "1",
                 "--no-report"} +
           more;
  }
  ProcessResult train(const Words& more, const Words& variables = {}) const {
    return run_process(Words{"/usr/bin/env"} + variables + command(more));
  }
  // Asked to stop as soon as a stop does not end it.
  ProcessResult stop_at_once(const std::string& comm) const {
    return run_and_signal(command({"--ranks", "3", "--comm", comm, "--epochs", "1000000"}), SIGTERM,
                          heeds_stop);
  }
  // Over TCP, with torchrun's variables.
  ProcessResult two_ranks(const Words& first, const Words& second) const {
    const std::string port = std::to_string(comm::listen_at("127.0.0.1", 0, 1).port);
    std::string script;
    for (const auto& [rank, more] : {std::pair{"1", second}, std::pair{"0", first}}) {
      script += std::string("RANK=") + rank;
      for (const std::string& word : command(more)) script += " '" + word + "'";
      script += script.find('&') == std::string::npos ? " & " : " || exit 1; wait $!";
    }
    return run_process({"/usr/bin/env", "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=2",
                        "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port, "/bin/sh", "-c", script});
  }

  std::string data_;
};

TEST_F(RankStartsTest, VariablesThatContradictEachOtherAreNamed) {
  EXPECT_TRUE(refused(train({}, {"RANK=1"}), 2, {"RANK: is set, but WORLD_SIZE is not"}));
  EXPECT_TRUE(refused(train({}, {"WORLD_SIZE=2"}), 2, {"WORLD_SIZE: is set, but RANK is not"}));
  EXPECT_TRUE(refused(train({}, {"OMPI_COMM_WORLD_SIZE=2"}), 2, {"OMPI_COMM_WORLD_RANK is not"}));
  const Words two = {"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=29999"};
  EXPECT_TRUE(refused(train({}, two + Words{"LOCAL_WORLD_SIZE=0"}), 2,
                      {"LOCAL_WORLD_SIZE: is 0, but WORLD_SIZE is 2"}));
  EXPECT_TRUE(refused(train({}, two + Words{"LOCAL_WORLD_SIZE=3"}), 2,
                      {"LOCAL_WORLD_SIZE: is 3, but WORLD_SIZE is 2"}));
  EXPECT_TRUE(refused(train({}, two + Words{"LOCAL_WORLD_SIZE=2", "LOCAL_RANK=2"}), 2,
                      {"LOCAL_RANK: is 2, but LOCAL_WORLD_SIZE is 2"}));
  EXPECT_EQ(train({}, {"WORLD_SIZE=1"}).code, 0);
}

TEST_F(RankStartsTest, FlagsThatDoNotFitTheLauncherAreRefused) {
  const Words mpirun = {"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2"};
  EXPECT_TRUE(refused(train({"--comm", "threads"}, mpirun), 2, {"--comm threads", "mpirun"}));
  const Words one = {"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=1"};
  EXPECT_TRUE(refused(train({"--ranks", "2"}, one), 2, {"--ranks 2", "mpirun -n 2"}));
  const Words torchrun = {"RANK=0", "WORLD_SIZE=2"};
  EXPECT_TRUE(refused(train({"--interface", "lo"}, torchrun), 2, {"--interface", "torchrun"}));
  EXPECT_TRUE(refused(train({"--hosts", "a:2,b:2"}), 2, {"--hosts", "--ranks"}));
  EXPECT_TRUE(refused(train({"--hosts", "a:2", "--ranks", "2", "--comm", "threads"}), 2,
                      {"--hosts", "--comm threads"}));
  EXPECT_TRUE(refused(train({"--remote-shell", "rsh", "--ranks", "2", "--comm", "tcp"}), 2,
                      {"--remote-shell", "--comm tcp"}));
}

// Nothing is started for them.
TEST_F(RankStartsTest, MoreRanksThanCanBeAreRefused) {
  EXPECT_TRUE(refused(train({"--ranks", "60000", "--comm", "tcp"}), 2, {"--ranks 60000", "4096"}));
  EXPECT_TRUE(
      refused(train({"--ranks", "60000", "--comm", "threads"}), 2, {"--ranks 60000", "1024"}));
}

TEST_F(RankStartsTest, ACommunicatorWithoutRanksIsSaid) {
  const ProcessResult alone = train({"--comm", "tcp"});
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_THAT(alone.err, HasSubstr("--comm tcp has no ranks"));
  EXPECT_THAT(train({"--comm", "tcp", "--ranks", "1"}).err, testing::Not(HasSubstr("no ranks")));
}

TEST_F(RankStartsTest, ProcessesOfAnUnknownLauncherAreToldThatTheyTrainAlone) {
  const ProcessResult alone = train({}, {"PMI_SIZE=4", "PMI_RANK=2"});
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_THAT(alone.err, HasSubstr("PMI_SIZE is 4, but each of these processes trains alone"));
  EXPECT_THAT(train({}, {"PMI_SIZE=1"}).err, testing::Not(HasSubstr("PMI_SIZE")));
}

// What only the first rank heeds is asked of all.
TEST_F(RankStartsTest, ARankThatWouldResumeIsNamed) {
  ASSERT_EQ(train({}).code, 0);
  const ProcessResult result = two_ranks({}, {"--resume"});
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("rank 1: has another --resume than rank 0: true, not false"));
  EXPECT_THAT(result.err, testing::Not(HasSubstr("go on with --resume")));
}

// Only the first rank writes there.
TEST_F(RankStartsTest, RanksMayNameOutputFoldersOfTheirOwn) {
  const ProcessResult result =
      two_ranks({"--output-dir", path("out0")}, {"--output-dir", path("out1")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::exists(path("out0/metrics.jsonl")));
  EXPECT_FALSE(std::filesystem::exists(path("out1")));
}

// Fewer ranks take more steps an epoch, and more of them fewer.
TEST_F(RankStartsTest, WhatWasMeasuredIsKeptWhenTheNumberOfRanksChanges) {
  ASSERT_EQ(train({}).code, 0);  // 8 steps
  ASSERT_EQ(train({"--ranks", "4", "--comm", "threads", "--epochs", "2", "--resume"}).code,
            0);  // 2
  ASSERT_EQ(train({"--ranks", "2", "--comm", "threads", "--epochs", "3", "--resume"}).code,
            0);  // 4
  const MetricsLog metrics = read_metrics(path("m/metrics.jsonl"));
  ASSERT_EQ(metrics.epochs.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(metrics.epochs[i].epoch, static_cast<std::int64_t>(i) + 1);
  ASSERT_EQ(metrics.steps.size(), 14u);
  for (std::size_t i = 0; i < 14; ++i)
    EXPECT_EQ(metrics.steps[i].step, static_cast<std::int64_t>(i) + 1);
}

TEST_F(RankStartsTest, AStopBeforeTheRanksAreThereReachesThem) {
  const ProcessResult stopped = stop_at_once("tcp");
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_THAT(stopped.out, HasSubstr("stopped after step"));
}

TEST_F(RankStartsTest, AStopBeforeMpirunIsReadyReachesTheRanks) {
  if (const std::string why = missing_mpi(); !why.empty()) GTEST_SKIP() << why;
  const ProcessResult stopped = stop_at_once("mpi");
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_THAT(stopped.out, HasSubstr("stopped after step"));
}

// MPI itself would wait for it for ever.
TEST_F(RankStartsTest, ARankThatNeverComesToMpiEndsTheOthers) {
  if (const std::string why = missing_mpi(); !why.empty()) GTEST_SKIP() << why;
  Words words = {find_mpirun(), "--oversubscribe", "--bind-to", "none"};
  if (::geteuid() == 0) words.emplace_back("--allow-run-as-root");
  words = words + Words{"-n", "1"} + command({"--rank-timeout", "1"}) +
          Words{":", "-n", "1", "/bin/sleep", "1000"};
  const ProcessResult result = run_process(words);
  EXPECT_FALSE(result.timed_out);
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("[0] kiln train: MPI: has not started within 1 s"));
}

class BenchTest : public AppTest {
 protected:
  static ProcessResult bench(const Words& more, const Words& variables = {}) {
    return run_process(Words{"/usr/bin/env"} + variables +
                       Words{bin_folder() + "/kiln-bench", "allreduce", "--seconds", "0"} + more);
  }
};

TEST_F(BenchTest, WritesWhatReadersOfNcclTestsRead) {
  const ProcessResult result = bench(
      {"--ranks", "3", "--min-bytes", "1022", "--max-bytes", "65536", "--factor", "8", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json.at("results").size(), 3u);
  const auto& first = json.at("results").at(0);
  EXPECT_EQ(first.at("size"), 1020);  // whole elements
  EXPECT_EQ(first.at("count"), 255);
  EXPECT_EQ(first.at("type"), "float");
  EXPECT_EQ(first.at("redop"), "sum");
  EXPECT_TRUE(first.at("out_of_place").is_null());
  const auto& sums = first.at("in_place");
  EXPECT_EQ(sums.at("nwrong"), 0);
  EXPECT_GT(sums.at("time"), 0.0);
  EXPECT_NEAR(sums.at("bus_bw"), sums.at("alg_bw").get<double>() * 4 / 3, 1e-9);
  EXPECT_EQ(json.at("out_of_bounds").at("okay"), "true");
  EXPECT_GT(json.at("average_bus_bandwidth").at("bandwidth"), 0.0);
}

TEST_F(BenchTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(refused(bench({"--min-bytes", "4096", "--max-bytes", "1024"}), 2,
                      {"--min-bytes 4096", "--max-bytes 1024"}));
  const Words mpirun = {"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2"};
  EXPECT_TRUE(refused(bench({"--ranks", "3"}, mpirun), 2, {"--ranks 3", "has started: 2"}));
  EXPECT_TRUE(refused(bench({"--comm", "threads"}, mpirun), 2, {"--comm threads", "mpirun"}));
  const Words torchrun = {"RANK=0", "WORLD_SIZE=2"};
  EXPECT_TRUE(refused(bench({"--comm", "mpi"}, torchrun), 2, {"--comm mpi", "torchrun"}));
}

}  // namespace
}  // namespace kiln::test
