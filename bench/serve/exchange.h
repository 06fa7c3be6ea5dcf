// Sockets of benchmarks: messages told by their Content-Length go back and forth on one epoll.
// Loopback only; for peers that are ours, so that what is out of order throws.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <netinet/in.h>
#include <string>
#include <string_view>

#include "engine/core/file.h"

namespace kiln::bench {

using Clock = std::chrono::steady_clock;

// `result` of a system call; throws Error (io) where it is negative.
int check(int result, const char* call);

sockaddr_in loopback(std::uint16_t port);

// A connection to a port of this machine, blocking, without Nagle's delay. No descriptor where
// nobody listens there.
UniqueFd connect_to(std::uint16_t port);

// The calling thread stays on this core; where there are fewer cores, nothing happens.
void pin(int core);

// CPU time of the calling thread.
double cpu_microseconds();

// One side of an exchange in which each peer has one message under way. Both the echo that HTTP
// servers are compared with and its clients are this loop.
class Exchange {
 public:
  struct Peer {
    UniqueFd fd;
    std::size_t received = 0, expected = 0;  // bytes of the message that comes in
    Clock::time_point asked;
  };

  Exchange();
  // Takes connections from now on; returns the port that the system chose.
  std::uint16_t listen();
  // Connects to a port and sends the first message.
  void ask(std::uint16_t port, std::string_view message);
  // While `more`: for each whole message of a peer, calls `answered` and sends `answer` back.
  void run(std::string_view answer, const std::function<bool()>& more,
           const std::function<void(Peer&)>& answered);

 private:
  void add(UniqueFd fd);
  void receive(Peer& peer, std::string_view answer, const std::function<void(Peer&)>& answered);

  UniqueFd epoll_, listener_;
  std::deque<Peer> peers_;
  std::string buffer_;
};

}  // namespace kiln::bench
