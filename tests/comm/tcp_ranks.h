// Ranks over TCP as threads of the test, which ThreadSanitizer sees.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "engine/comm/sockets.h"
#include "engine/comm/tcp_communicator.h"
#include "engine/core/error.h"

namespace kiln::test {

inline int free_port() { return comm::listen_at("127.0.0.1", 0, 1).port; }

inline MeetingPlace place_of(int rank, int size, int port) {
  return {.rank = rank,
          .size = size,
          .address = "127.0.0.1",
          .port = port,
          .run = "test",
          .one_machine = true};
}

struct TcpRanks {
  int size = 2;
  int port = free_port();
  std::vector<int> absent;  // ranks that do not come
  std::chrono::milliseconds deadline{60000};
};

// Runs body(communicator) on each rank that comes. What each threw, by rank; empty for none.
inline std::vector<std::string> run_tcp_ranks(const TcpRanks& ranks,
                                              const std::function<void(Communicator&)>& body) {
  std::vector<std::string> faults(static_cast<std::size_t>(ranks.size));
  const auto run = [&](int rank) {
    std::unique_ptr<Communicator> communicator;
    try {
      communicator = make_tcp_communicator(place_of(rank, ranks.size, ranks.port),
                                           {.deadline = ranks.deadline});
      body(*communicator);
    } catch (const std::exception& error) {
      faults[static_cast<std::size_t>(rank)] = error.what();
      if (communicator) communicator->abandon(std::string("has failed: ") + error.what());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks.size; ++rank)
      if (std::ranges::find(ranks.absent, rank) == ranks.absent.end())
        threads.emplace_back(run, rank);
  }
  return faults;
}

}  // namespace kiln::test
