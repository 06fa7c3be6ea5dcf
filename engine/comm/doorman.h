// Doorman: takes in the connections that come to a listener, and lets those pass that greet as the
// rules ask. Who is slow, silent or a stranger costs the others nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "engine/comm/handshake.h"
#include "engine/comm/sockets.h"

namespace kiln::comm {

struct Guest {
  Hello hello;
  UniqueFd socket;  // nonblocking
};

class Doorman {
 public:
  Doorman(UniqueFd listener, const HelloRules& rules);

  void set_rules(const HelloRules& rules) { rules_ = rules; }
  // Waits up to `timeout_ms` for something to happen, here or at one of `others`, whose revents are
  // set. A guest that obeys the rules, if there is one; it has not been answered.
  std::optional<Guest> next(int timeout_ms, std::vector<pollfd>& others);
  // What the last of those that were refused got to hear; empty where there was none.
  const std::string& last_refusal() const { return last_refusal_; }

 private:
  static constexpr std::size_t kMostWaiting = 64;  // the oldest goes where more come
  static constexpr auto kHelloTime = std::chrono::seconds(5);
  struct Caller {
    UniqueFd socket;
    SocketClock::time_point end;
    std::vector<std::byte> bytes;
  };

  void take_connections();
  // Whether the caller is done with: gone, refused, or the guest.
  bool hear(Caller& caller, std::optional<Guest>& guest);

  UniqueFd listener_;
  HelloRules rules_;
  std::vector<Caller> callers_;
  std::string last_refusal_;
};

// A short text for people: "it belongs to another run".
std::string reason_of(const Answer& answer, const Hello& hello);

}  // namespace kiln::comm
