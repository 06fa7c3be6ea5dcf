// One client of the loop: its socket, the request that comes in, the bytes that go out.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/file.h"
#include "engine/http/http_server.h"

namespace kiln::http {

using Clock = std::chrono::steady_clock;

struct Connection {
  enum class Phase {
    reading,    // bytes of a request are welcome
    deferred,   // a reply is to come from another thread; nothing is read meanwhile
    closing,    // the last reply is being written
    lingering,  // it was written; what still comes in is thrown away, so that the client reads the
                // reply and no reset
  };
  enum class Sent { all, blocked, failed };

  Connection(std::uint64_t number, UniqueFd socket) : id(number), fd(std::move(socket)) {}

  HttpParser::State state() const { return parser ? parser->state() : HttpParser::State::empty; }

  // Puts a reply behind the others; `keep` false makes it the last one. `date` as http_date()
  // gives.
  void queue(const HttpReply& reply, bool keep, std::string_view date);
  // Writes as much as the socket takes.
  Sent send();
  bool idle() const {
    return phase == Phase::reading && state() == HttpParser::State::empty && out.empty() &&
           input.empty();
  }

  std::uint64_t id;
  UniqueFd fd;
  std::optional<HttpParser> parser;  // while a request is under way
  std::string input;  // read, not yet parsed: pipelined behind a request that is being answered
  std::string out;
  std::size_t out_start = 0;  // bytes of `out` that are written
  Phase phase = Phase::reading;
  Clock::time_point deadline;
  HttpParser::State timed = HttpParser::State::empty;  // the state that `deadline` was set for
  bool continued = false;                              // "100 Continue" was sent for this request
  bool input_ended = false;                            // the client sends nothing more
  bool turned_away = false;                            // it is one too many
  std::size_t lingered_bytes = 0;
  std::uint32_t interest = 0;  // what epoll watches
  bool prompt = false;  // its last request was no POST: the loop's second epoll watches it too
  std::weak_ptr<DeferredReply> deferred;
};

}  // namespace kiln::http
