#include "engine/comm/launch.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/comm/stop_signal.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "tests/support/temp_folder.h"

namespace kiln::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

constexpr const char* kVariables[] = {"OMPI_COMM_WORLD_RANK",
                                      "OMPI_COMM_WORLD_SIZE",
                                      "OMPI_COMM_WORLD_LOCAL_RANK",
                                      "OMPI_COMM_WORLD_LOCAL_SIZE",
                                      "RANK",
                                      "WORLD_SIZE",
                                      "LOCAL_RANK",
                                      "LOCAL_WORLD_SIZE",
                                      "PMI_SIZE",
                                      "SLURM_STEP_NUM_TASKS",
                                      "MASTER_ADDR",
                                      "MASTER_PORT",
                                      "TORCHELASTIC_RUN_ID",
                                      "TORCHELASTIC_RESTART_COUNT",
                                      "TORCHELASTIC_USE_AGENT_STORE"};

class LaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) ::unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static void set(const char* name, const char* value) { ::setenv(name, value, 1); }
};

TEST_F(LaunchTest, WithoutALauncherThereIsOneRank) {
  const RankEnvironment e = rank_environment();
  EXPECT_EQ(e.launcher, RankEnvironment::Launcher::none);
  EXPECT_EQ(e.size, 1);
}

TEST_F(LaunchTest, ReadsTorchrun) {
  set("RANK", "3");
  set("WORLD_SIZE", "8");
  set("LOCAL_RANK", "1");
  set("LOCAL_WORLD_SIZE", "2");
  set("MASTER_ADDR", "10.0.0.1");
  set("MASTER_PORT", "29500");
  const RankEnvironment e = rank_environment();
  EXPECT_EQ(e.launcher, RankEnvironment::Launcher::torchrun);
  EXPECT_EQ(e.rank, 3);
  EXPECT_EQ(e.size, 8);
  EXPECT_EQ(e.local_rank, 1);
  EXPECT_EQ(e.local_size, 2);
  EXPECT_EQ(e.address, "10.0.0.1");
  EXPECT_EQ(e.port, 29500);
  EXPECT_FALSE(e.launcher_holds_port);
  set("TORCHELASTIC_RUN_ID", "job");
  set("TORCHELASTIC_RESTART_COUNT", "2");
  set("TORCHELASTIC_USE_AGENT_STORE", "True");
  EXPECT_EQ(rank_environment().run, "job 2");
  EXPECT_TRUE(rank_environment().launcher_holds_port);
}

TEST_F(LaunchTest, OpenMpiGoesFirst) {
  set("RANK", "3");
  set("WORLD_SIZE", "8");
  set("OMPI_COMM_WORLD_RANK", "1");
  set("OMPI_COMM_WORLD_SIZE", "2");
  const RankEnvironment e = rank_environment();
  EXPECT_EQ(e.launcher, RankEnvironment::Launcher::open_mpi);
  EXPECT_EQ(e.rank, 1);
  EXPECT_EQ(e.size, 2);
}

TEST_F(LaunchTest, RefusesNumbersThatAreNone) {
  for (const char* rank : {"x", "-1", "2", "99999999999"}) {
    set("RANK", rank);
    set("WORLD_SIZE", "2");
    EXPECT_THROW(rank_environment(), Error) << rank;
  }
}

TEST_F(LaunchTest, RefusesVariablesThatLackTheOther) {
  set("RANK", "0");
  EXPECT_THROW(rank_environment(), Error);
  ::unsetenv("RANK");
  set("WORLD_SIZE", "2");
  EXPECT_THROW(rank_environment(), Error);
  set("WORLD_SIZE", "1");
  EXPECT_EQ(rank_environment().launcher, RankEnvironment::Launcher::none);
  set("OMPI_COMM_WORLD_RANK", "0");
  EXPECT_THROW(rank_environment(), Error);
}

TEST_F(LaunchTest, RefusesLocalRanksThatDoNotFit) {
  set("RANK", "1");
  set("WORLD_SIZE", "2");
  set("LOCAL_RANK", "1");  // without a LOCAL_WORLD_SIZE, as scripts write it
  EXPECT_EQ(rank_environment().local_rank, 1);
  for (const char* size : {"0", "1", "3"}) {
    set("LOCAL_WORLD_SIZE", size);
    EXPECT_THROW(rank_environment(), Error) << size;
  }
}

TEST_F(LaunchTest, KnowsThatOtherLaunchersHaveStartedSeveral) {
  EXPECT_EQ(unknown_launcher(), "");
  set("SLURM_STEP_NUM_TASKS", "3");
  EXPECT_EQ(unknown_launcher(), "SLURM_STEP_NUM_TASKS is 3");
  set("PMI_SIZE", "2");
  EXPECT_EQ(unknown_launcher(), "PMI_SIZE is 2");
  for (const char* one : {"1", "", "x"}) {
    set("PMI_SIZE", one);
    set("SLURM_STEP_NUM_TASKS", one);
    EXPECT_EQ(unknown_launcher(), "") << one;
  }
}

TEST_F(LaunchTest, ReadsHosts) {
  const auto hosts = parse_hosts("algo-1:4,algo-2");
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_EQ(hosts[0].name, "algo-1");
  EXPECT_EQ(hosts[0].slots, 4);
  EXPECT_EQ(hosts[1].name, "algo-2");
  EXPECT_EQ(hosts[1].slots, 1);
  for (const char* bad : {":2", "a:", "a:0", "a:x", "-x:1", "a,,b"})
    EXPECT_THROW(parse_hosts(bad), Error) << bad;
}

TEST_F(LaunchTest, WritesMpirunsCommand) {
  const LaunchOptions options{.ranks = 4,
                              .hosts = parse_hosts("a:2,b:2"),
                              .interface = "eth0",
                              .remote_shell = "myrsh",
                              .variables = {"KILN_DATA"},
                              .more = {"--tag-output"}};
  const auto words = mpirun_command(options, {"/bin/prog", "--lr", "1"});
  const std::string line = testing::PrintToString(words);
  EXPECT_THAT(line, HasSubstr(R"("-n", "4")"));
  EXPECT_THAT(line, HasSubstr(R"("--bind-to", "none")"));
  EXPECT_THAT(line, HasSubstr(R"("--host", "a:2,b:2")"));
  EXPECT_THAT(line, HasSubstr(R"("--map-by", "slot")"));
  EXPECT_THAT(line, HasSubstr(R"("plm_rsh_agent", "myrsh")"));
  EXPECT_THAT(line, HasSubstr(R"("btl_tcp_if_include", "eth0")"));
  EXPECT_THAT(line, HasSubstr(R"("oob_tcp_if_include", "eth0")"));
  EXPECT_THAT(line, HasSubstr(R"("-x", "KILN_DATA", "--tag-output", "/bin/prog", "--lr", "1")"));
  EXPECT_THAT(words, testing::Not(Contains("--oversubscribe")));
  EXPECT_THROW(mpirun_command({.ranks = 5, .hosts = parse_hosts("a:2,b:2")}, {"/bin/prog"}), Error);
}

TEST_F(LaunchTest, ARunIsStoppedOrKilledAsWished) {
  const std::string shell = find_program("sh");
  ASSERT_NE(shell, "");
  EXPECT_EQ(find_program("no-program-of-that-name"), "");
  const auto run = [&](const std::string& script, LaunchWish wish) {
    return run_launcher({shell, "-c", script}, [=] { return wish; });
  };
  EXPECT_EQ(run("exit 3", LaunchWish::go_on), 3);
  EXPECT_EQ(run("trap 'exit 4' USR1; while :; do sleep 0.01; done", LaunchWish::kill), 128 + 9);
  EXPECT_EQ(run("kill -STOP $$", LaunchWish::kill), 128 + 9);
  // Told once, and only once: the second one would end it otherwise.
  int asked = 0;
  const std::string ready = testing::TempDir() + "launch-test-ready";
  std::remove(ready.c_str());
  const std::string script =
      "trap 'trap - USR1; sleep 0.2; exit 5' USR1; : > " + ready + "; while :; do sleep 0.01; done";
  EXPECT_EQ(run_launcher({shell, "-c", script},
                         [&] {
                           if (std::FILE* there = std::fopen(ready.c_str(), "r")) {
                             std::fclose(there);
                             ++asked;
                             return LaunchWish::stop;
                           }
                           return LaunchWish::go_on;
                         }),
            5);
  EXPECT_GT(asked, 1);
  std::remove(ready.c_str());
}

TEST(StopSignal, IsForProcessesThatExpectIt) {
  EXPECT_FALSE(heeds_stop(::getpid()));
  sigset_t stop, before;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &stop, &before);
  EXPECT_TRUE(heeds_stop(::getpid()));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Ranks that are a shell's script.
int run_shells(const std::string& script, int ranks, const std::function<bool()>& stop,
               std::chrono::milliseconds grace = std::chrono::minutes(5)) {
  return run_local_ranks({"/bin/sh", "-c", script}, ranks, stop, grace);
}
bool never() { return false; }

class LocalRanksTest : public TempFolderTest {
 protected:
  std::string file(const std::string& name) const { return (folder() / name).string(); }
};

TEST_F(LocalRanksTest, EachHasTorchrunsVariables) {
  const std::string script =
      "echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $MASTER_ADDR "
      "$TORCHELASTIC_USE_AGENT_STORE$OMPI_COMM_WORLD_SIZE >" +
      file("") + "$RANK";
  ::setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);  // of launchers around
  ::setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  EXPECT_EQ(run_shells(script, 3, never), 0);
  ::unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  for (const char* rank : {"0", "1", "2"})
    EXPECT_EQ(read_text_file(file(rank), 100), std::string(rank) + "/3 " + rank + "/3 127.0.0.1\n");
}

TEST_F(LocalRanksTest, TheFirstThatFailsGivesTheCode) {
  const std::string wait = "while [ ! -e " + file("failed") + " ]; do sleep 0.01; done; ";
  const std::string script =
      "if [ $RANK = 1 ]; then touch " + file("failed") + "; exit 7; fi; " + wait + "exit 0";
  EXPECT_EQ(run_shells(script, 3, never), 7);
  EXPECT_EQ(run_shells("[ $RANK = 0 ] || kill -9 $$", 2, never), 128 + SIGKILL);
  EXPECT_EQ(run_local_ranks({"/nowhere"}, 2, never), 127);
}

TEST_F(LocalRanksTest, WhatIsLeftBehindAFailureIsKilled) {
  EXPECT_EQ(run_shells("[ $RANK = 0 ] && exit 3; exec sleep 1000", 3, never,
                       std::chrono::milliseconds(100)),
            3);
}

TEST_F(LocalRanksTest, AStopIsHandedToAll) {
  const std::string script = "trap 'touch " + file("stopped") + "$RANK; exit 0' USR1; touch " +
                             file("ready") + "$RANK; while :; do sleep 0.01; done";
  const auto all_ready = [&] {
    return std::filesystem::exists(file("ready0")) && std::filesystem::exists(file("ready1"));
  };
  EXPECT_EQ(run_shells(script, 2, all_ready), 0);
  for (const char* rank : {"0", "1"})
    EXPECT_TRUE(std::filesystem::exists(file("stopped") + rank)) << rank;
}

}  // namespace
}  // namespace kiln::test
