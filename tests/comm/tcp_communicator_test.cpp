// How ranks meet over TCP, whoever else comes to their port, and what they say of those that are
// missing, hang or do not fit. That the sums are right is contract_test's.
#include "engine/comm/tcp_communicator.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <latch>
#include <poll.h>
#include <sys/socket.h>

#include "engine/comm/handshake.h"
#include "tests/comm/tcp_ranks.h"

namespace kiln::test {
namespace {

using namespace std::chrono_literals;
using comm::Answer;
using comm::Hello;
using comm::Reading;
using comm::Verdict;
using testing::Each;
using testing::HasSubstr;

void add_ranks(Communicator& c) {
  std::int64_t sum[] = {c.rank()};
  c.all_reduce<std::int64_t>(sum);
  EXPECT_EQ(sum[0], c.size() * (c.size() - 1) / 2);
}

// A connection to rank 0, as soon as that listens.
UniqueFd knock(int port) {
  for (;;) {
    UniqueFd socket = comm::connect_to("127.0.0.1", port, 3s);
    if (socket) return socket;
    std::this_thread::sleep_for(1ms);
  }
}

void say(const UniqueFd& socket, std::string_view words) {
  ASSERT_TRUE(comm::send_whole(socket.get(), words.data(), words.size()));
}

// Waits until the other end has closed; what came before.
std::string until_closed(const UniqueFd& socket) {
  std::string all;
  char bytes[256];
  for (ssize_t got = 1; got > 0;
       all.append(bytes, static_cast<std::size_t>(std::max<ssize_t>(got, 0))))
    got = ::recv(socket.get(), bytes, sizeof bytes, 0);
  return all;
}

Verdict answer_to(int port, const Hello& hello) {
  const UniqueFd socket = knock(port);
  const auto words = comm::encode(hello);
  std::byte bytes[comm::kAnswerBytes];
  Answer answer;
  EXPECT_TRUE(comm::send_whole(socket.get(), words.data(), words.size()));
  EXPECT_TRUE(
      comm::receive_whole(socket.get(), bytes, sizeof bytes, comm::SocketClock::now() + 20s));
  EXPECT_EQ(comm::read_answer(bytes, answer), Reading::complete);
  return answer.verdict;
}

// A run of two whose rank 1 comes when `before` has returned.
void expect_meeting_after(const std::function<void(int port)>& before) {
  const TcpRanks ranks{.size = 2};
  std::jthread rank0([&] {
    const auto c = make_tcp_communicator(place_of(0, 2, ranks.port), {});
    add_ranks(*c);
  });
  before(ranks.port);
  const auto c = make_tcp_communicator(place_of(1, 2, ranks.port), {});
  add_ranks(*c);
}

TEST(TcpMeeting, StrangersAreTurnedAway) {
  expect_meeting_after([](int port) {
    const UniqueFd http = knock(port), noise = knock(port);
    say(http, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    say(noise, std::string(1000, '\xff'));
    EXPECT_EQ(until_closed(http), "");
    EXPECT_EQ(until_closed(noise), "");
  });
}

TEST(TcpMeeting, SilentCallersHoldNobodyUp) {
  std::vector<UniqueFd> silent;  // more than are kept waiting; they stay
  expect_meeting_after([&](int port) {
    for (int i = 0; i < 100; ++i) {
      silent.push_back(knock(port));
      say(silent.back(), i % 2 == 0 ? "" : "KILN");
    }
  });
}

TEST(TcpMeeting, RanksThatDoNotBelongAreToldWhy) {
  expect_meeting_after([](int port) {
    const std::uint64_t run = comm::run_identity("test");
    const Hello good{.size = 2, .rank = 1, .run = run, .port = 1};
    Hello h = good;
    h.run = run + 1;
    EXPECT_EQ(answer_to(port, h), Verdict::other_run);
    h = good;
    h.size = 3;
    EXPECT_EQ(answer_to(port, h), Verdict::other_size);
    h = good;
    h.version = comm::kHandshakeVersion + 1;
    EXPECT_EQ(answer_to(port, h), Verdict::other_version);
  });
}

TEST(TcpMeeting, ASecondRankOfOneNumberIsRefused) {
  const int port = free_port();
  std::jthread rank0([&] { make_tcp_communicator(place_of(0, 3, port), {}); });
  const UniqueFd first = knock(port);
  const Hello hello{.size = 3, .rank = 1, .run = comm::run_identity("test"), .port = 1};
  const auto words = comm::encode(hello);
  ASSERT_TRUE(comm::send_whole(first.get(), words.data(), words.size()));
  std::byte bytes[comm::kAnswerBytes];
  ASSERT_TRUE(
      comm::receive_whole(first.get(), bytes, sizeof bytes, comm::SocketClock::now() + 20s));
  try {
    make_tcp_communicator(place_of(1, 3, port), {});
    ADD_FAILURE() << "a second rank 1 was let in";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 1: was turned away by rank 0: there is a rank 1"));
    EXPECT_EQ(error.kind(), ErrorKind::usage);
  }
  ::shutdown(first.get(), SHUT_RDWR);
  std::jthread rank1([&] { make_tcp_communicator(place_of(1, 3, port), {}); });
  make_tcp_communicator(place_of(2, 3, port), {});
}

TEST(TcpMeeting, ARankOfAnotherSizeIsToldBoth) {
  const int port = free_port();
  std::string fault0;
  {
    std::jthread rank0([&] {
      try {
        make_tcp_communicator(place_of(0, 2, port), {.deadline = 2s});
      } catch (const Error& error) {
        fault0 = error.what();
      }
    });
    try {
      make_tcp_communicator(place_of(1, 3, port), {});
      ADD_FAILURE() << "a rank of 3 was let into a run of 2";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("started as one of 3 ranks, not of 2"));
    }
  }
  EXPECT_THAT(fault0, HasSubstr("rank 1: did not come to rank 0 within 2 s"));
  EXPECT_THAT(fault0, HasSubstr("turned away: it was started as one of 3 ranks"));
}

// As where torchrun's agent, or another program, has the port.
TEST(TcpMeeting, TakesTheNextPortWhereOneIsTaken) {
  comm::Listener taken = comm::listen_at("127.0.0.1", 0, 8);
  std::jthread server([&] {  // answers as a server of something else does, until it is shut down
    for (;;) {
      const UniqueFd client(::accept(taken.socket.get(), nullptr, nullptr));
      if (!client) return;
      say(client, "HTTP/1.1 400 Bad Request\r\n\r\n");
    }
  });
  const auto faults = run_tcp_ranks({.size = 3, .port = taken.port}, add_ranks);
  ::shutdown(taken.socket.get(), SHUT_RDWR);
  EXPECT_THAT(faults, Each(""));
}

TEST(TcpMeeting, TwoRunsAtOnePortDoNotMix) {
  const int port = free_port();
  const auto run = [&](const std::string& name, int rank) {
    MeetingPlace place = place_of(rank, 2, port);
    place.run = name;
    const auto c = make_tcp_communicator(place, {});
    std::string all = name;
    c->broadcast<char>(all);
    EXPECT_EQ(all, name);
  };
  std::vector<std::jthread> threads;
  for (const std::string name : {"one", "two"})
    for (const int rank : {0, 1}) threads.emplace_back(run, name, rank);
}

TEST(TcpFaults, ARankThatDoesNotComeIsNamedByAll) {
  const auto faults = run_tcp_ranks({.size = 3, .absent = {1}, .deadline = 1s}, add_ranks);
  for (const std::size_t rank : {0u, 2u})
    EXPECT_THAT(faults[rank], HasSubstr("rank 1: did not come to rank 0 within 1 s")) << rank;
}

TEST(TcpFaults, WithoutRankZeroTheOthersSayWhereTheyLooked) {
  const TcpRanks ranks{.size = 2, .absent = {0}, .deadline = 1s};
  const auto faults = run_tcp_ranks(ranks, add_ranks);
  EXPECT_THAT(faults[1], HasSubstr("rank 0: cannot be reached from rank 1 at 127.0.0.1, ports " +
                                   std::to_string(ranks.port)));
}

TEST(TcpFaults, ARankThatHangsIsNamed) {
  std::latch others(2);
  const auto faults = run_tcp_ranks({.size = 3, .deadline = 1s}, [&](Communicator& c) {
    add_ranks(c);
    if (c.rank() == 2) return others.wait();
    try {
      c.barrier();
    } catch (const Error&) {
      others.count_down();
      throw;
    }
  });
  EXPECT_THAT(faults[0], HasSubstr("rank 2: hangs: others have waited for it for 1 s"));
  EXPECT_THAT(faults[1], HasSubstr("rank 2: hangs"));
}

TEST(TcpFaults, WhatARankGivesUpForIsToldToTheOthers) {
  const auto faults = run_tcp_ranks({.size = 3}, [](Communicator& c) {
    if (c.rank() == 1) throw Error(ErrorKind::input, "data set x", "is broken");
    c.barrier();
  });
  for (const std::size_t rank : {0u, 2u})
    EXPECT_THAT(faults[rank], HasSubstr("rank 1: has failed: data set x: is broken")) << rank;
}

TEST(TcpFaults, CallsThatDoNotFitAreAnError) {
  const auto faults = run_tcp_ranks({.size = 2}, [](Communicator& c) {
    std::vector<float> x(c.rank() == 0 ? 3 : 4);
    c.all_reduce<float>(x);
  });
  const std::string both = faults[0] + faults[1];
  EXPECT_THAT(both, HasSubstr("all_reduce of 3 f32"));
  EXPECT_THAT(both, HasSubstr("all_reduce of 4 f32"));
}

TEST(TcpFaults, MoreReductionsThanCanBeUnderWayAreAnError) {
  const auto faults = run_tcp_ranks({.size = 2}, [](Communicator& c) {
    std::vector<double> x(2 * Communicator::kMostReductions);
    for (double& v : x) c.start_all_reduce<double>(std::span(&v, 1));
  });
  EXPECT_THAT(faults, Each(HasSubstr("reductions: are more than can be under way")));
}

TEST(TcpMeeting, TorchrunsVariablesSayThePlace) {
  RankEnvironment e{.launcher = RankEnvironment::Launcher::torchrun,
                    .rank = 1,
                    .size = 4,
                    .local_size = 2,
                    .address = "host",
                    .port = 29500,
                    .run = "id 0"};
  EXPECT_EQ(meeting_place(e).port, 29500);
  EXPECT_FALSE(meeting_place(e).one_machine);
  e.launcher_holds_port = true;
  EXPECT_EQ(meeting_place(e).port, 29501);
  e.local_size = 4;
  EXPECT_TRUE(meeting_place(e).one_machine);
  e.port = 0;
  EXPECT_THROW(meeting_place(e), Error);
  e.port = 29500;
  e.address.clear();
  EXPECT_THROW(meeting_place(e), Error);
}

}  // namespace
}  // namespace kiln::test
