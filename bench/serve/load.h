// Load on an HTTP server of this machine: many connections, one thread, each reply judged.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "bench/serve/exchange.h"

namespace kiln::bench {

struct LoadOptions {
  std::uint16_t port = 8080;
  int connections = 16;
  double seconds = 1;
  std::uint64_t requests = 0;  // ends after so many replies; 0: after `seconds`
  double rate = 0;             // arrivals a second, evenly spaced; 0: each reply asks again at once
  bool fresh = false;          // a connection for each request
  double ping_ms = 0;          // GET /ping beside the load, so often, on a connection of its own
  std::string request;         // whole bytes of one request
};

// Microseconds.
struct Latencies {
  std::vector<double> from_intended, from_sent;
};

struct LoadReport {
  std::map<int, std::uint64_t> statuses;
  Latencies good, refused, ping;       // status 200; any other; of the pings with 200
  std::uint64_t failed = 0;            // sent on a connection that ended without a whole reply
  std::uint64_t unanswered = 0;        // within two seconds after the end
  std::uint64_t never_sent = 0;        // arrivals for which no connection was free until the end
  std::uint64_t refused_connects = 0;  // nobody listens; the client gives up, nothing was asked
  std::uint64_t pings_failed = 0;
  std::size_t reply_bytes = 0;  // of the last reply
  double seconds = 0;           // until the last request was sent
  std::uint64_t in_time = 0;    // replies with 200 within `seconds`
  double cpu_us = 0;            // of the clients, in all
};

// Throws Error (io) where a server does not speak HTTP, or nobody listens at all.
LoadReport run_load(const LoadOptions& options);

// Milliseconds from just before the program begins until GET /ping says 200. The program runs on
// `core` and is killed then. Throws Error (io) after `limit`.
double start_milliseconds(const std::vector<std::string>& command, std::uint16_t port, int core,
                          std::chrono::milliseconds limit);

}  // namespace kiln::bench
