// What hosts of a job tell each other, over this machine's loopback: who is let in, who is missed,
// how a job's end comes to all.
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "apps/sagemaker-train/host_link.h"
#include "engine/comm/sockets.h"
#include "engine/core/error.h"
#include "tests/apps/error_of.h"

namespace kiln::sagemaker {
namespace {

using namespace std::chrono_literals;
using test::error_of;
using testing::HasSubstr;

constexpr auto kLong = 100s;
const std::string kLeader = "127.0.0.1";  // a name that resolves everywhere

bool never() { return false; }

// A worker that comes to the leader, by a thread of its own.
std::future<WorkerLink> come(const LeaderLink& leader, const std::string& name,
                             const std::string& token = "key") {
  return std::async(std::launch::async, [=, port = leader.port()] {
    return WorkerLink::reach(kLeader, name, token, kLong, never, port).value();
  });
}

JobEnd wait_for_end(WorkerLink& worker) {
  for (int i = 0; i < 1000; ++i)
    if (const auto end = worker.end(100ms)) return *end;
  ADD_FAILURE() << "no end came";
  return {};
}

template <class Condition>
void look_until(LeaderLink& leader, const Condition& holds) {
  for (int i = 0; i < 1000 && !holds(); ++i) leader.look(100ms);
  EXPECT_TRUE(holds());
}

TEST(SageMakerHostLink, AllComeAndHearTheEnd) {
  LeaderLink leader({kLeader, "b", "c"}, "key", 0);
  auto b = come(leader, "b"), c = come(leader, "c");
  ASSERT_TRUE(leader.gather(kLong, never));
  WorkerLink one = b.get(), two = c.get();
  EXPECT_FALSE(one.end(0ms).has_value());
  EXPECT_FALSE(leader.stop_asked());
  one.ask_to_stop();
  look_until(leader, [&] { return leader.stop_asked(); });
  EXPECT_EQ(leader.lost(), "");
  two.ask_to_stop();
  // The leader waits for those that it tells to go.
  const auto hear = [](WorkerLink worker) { return wait_for_end(worker); };
  auto told = std::async(std::launch::async, hear, std::move(two));
  auto first = std::async(std::launch::async, hear, std::move(one));
  leader.tell({.code = 3, .cause = "rank 1: has\ndied"});
  EXPECT_EQ(told.get().code, 3);
  const JobEnd end = first.get();
  EXPECT_EQ(end.code, 3);
  EXPECT_EQ(end.cause, "rank 1: has\\x0adied") << "one line, whatever it holds";
}

TEST(SageMakerHostLink, AWorkerThatGoesIsNamed) {
  LeaderLink leader({kLeader, "b", "c"}, "key", 0);
  auto b = come(leader, "b"), c = come(leader, "c");
  ASSERT_TRUE(leader.gather(kLong, never));
  const WorkerLink stays = b.get();
  { const WorkerLink goes = c.get(); }
  look_until(leader, [&] { return !leader.lost().empty(); });
  EXPECT_EQ(leader.lost(), "c");
}

TEST(SageMakerHostLink, AWorkerThatGoesBeforeAllHaveComeIsNamed) {
  LeaderLink leader({kLeader, "b", "c"}, "key", 0);
  auto b = come(leader, "b");
  auto gone = std::async(std::launch::async, [&] { b.get(); });
  EXPECT_EQ(error_of([&] { leader.gather(kLong, never); }),
            "host b: has died before the job began: its connection is closed");
}

TEST(SageMakerHostLink, ALeaderThatGoesIsNamed) {
  std::optional<LeaderLink> leader(std::in_place, std::vector<std::string>{kLeader, "b"}, "key", 0);
  auto b = come(*leader, "b");
  ASSERT_TRUE(leader->gather(kLong, never));
  WorkerLink worker = b.get();
  leader.reset();
  EXPECT_EQ(error_of([&] { wait_for_end(worker); }),
            "host 127.0.0.1: leads this job and has died: its connection is closed");
}

TEST(SageMakerHostLink, WhoDoesNotComeIsNamed) {
  LeaderLink leader({kLeader, "b.invalid", "localhost"}, "key", 0);
  EXPECT_EQ(error_of([&] { leader.gather(1s, never); }),
            "host b.invalid (its name does not resolve), localhost: did not come within 1 s");
  EXPECT_EQ(error_of([&] { WorkerLink::reach("a.invalid", "b", "key", 1s, never); }),
            "host a.invalid: leads this job and did not come within 1 s: its name does not "
            "resolve");
}

TEST(SageMakerHostLink, AStopEndsTheWaiting) {
  LeaderLink leader({kLeader, "b", "c"}, "key", 0);
  EXPECT_FALSE(leader.gather(kLong, [] { return true; }));
  EXPECT_FALSE(WorkerLink::reach("a.invalid", "b", "key", kLong, [] { return true; }).has_value());
  // A worker's stop too.
  auto stopped = std::async(std::launch::async, [&, b = come(leader, "b")]() mutable {
    WorkerLink worker = b.get();
    worker.ask_to_stop();
    return wait_for_end(worker);
  });
  EXPECT_FALSE(leader.gather(kLong, never));
  leader.tell({.cause = "stopped"});
  EXPECT_EQ(stopped.get().cause, "stopped");
}

TEST(SageMakerHostLink, StrangersAreTurnedAway) {
  LeaderLink leader({kLeader, "b"}, "key", 0);
  const auto told = [&](const std::string& name, const std::string& token) {
    auto stranger =
        std::async(std::launch::async, [&, future = come(leader, name, token)]() mutable {
          return error_of([&] { future.get(); });
        });
    for (int i = 0; i < 1000 && stranger.wait_for(0s) != std::future_status::ready; ++i)
      leader.look(10ms);
    return stranger.get();
  };
  EXPECT_THAT(told("b", "other"), HasSubstr("refuses this host: its key is another one"));
  EXPECT_THAT(told("c", "key"), HasSubstr("c is no host that is waited for"));
  EXPECT_THAT(told(kLeader, "key"), HasSubstr("is no host that is waited for"));
  // Words before a hello, lines without an end, and silence.
  for (const std::string& bytes : {std::string("stop\n"), std::string(9000, 'x'), std::string()}) {
    const UniqueFd socket = comm::connect_to("127.0.0.1", leader.port(), 2000ms);
    ASSERT_TRUE(socket);
    ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    for (int i = 0; i < 5; ++i) leader.look(10ms);
  }
  EXPECT_FALSE(leader.stop_asked());
  EXPECT_EQ(leader.lost(), "");
  auto b = come(leader, "b");
  EXPECT_TRUE(leader.gather(kLong, never));
  b.get();
}

}  // namespace
}  // namespace kiln::sagemaker
