#include "engine/comm/launch.h"

#include <cstdio>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"

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
                                      "MASTER_ADDR",
                                      "MASTER_PORT"};

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

}  // namespace
}  // namespace kiln::test
