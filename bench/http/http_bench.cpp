// kiln-serve-bench [CONNECTIONS [SECONDS [ROUNDS]]]: POST of 12,288 bytes, a short JSON reply.
//
// The floor is an echo that reads the same bytes, finds the request's end by its Content-Length and
// sends as many bytes back; it judges nothing. Both servers run one thread, on core 0 where there
// are two, and meet the same clients on core 1, in turns within one run, so that other work on the
// machine meets both. What is reported are medians over the rounds and over the rounds' ratios.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/serve/exchange.h"
#include "engine/core/error.h"
#include "engine/http/http_server.h"

namespace {

using kiln::Error;
using kiln::ErrorKind;
using kiln::bench::Clock;
using kiln::bench::cpu_microseconds;
using kiln::bench::Exchange;
using kiln::bench::pin;

const std::string& request_bytes() {
  static const std::string bytes =
      "POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
      "Content-Length: 12288\r\n\r\n" +
      std::string(12288, 'b');
  return bytes;
}

const std::string& reply_body() {
  static const std::string body(150, 'j');
  return body;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Round {
  double rate = 0;        // requests a second
  double latency_us = 0;  // median
  double cpu_us = 0;      // of the server, for a request
  std::size_t reply_size = 0;
};

// Clients that each wait for a reply before they ask again; `serve` runs on a thread until `stop`
// was called.
Round load(std::uint16_t port, int connections, double seconds, const std::function<void()>& serve,
           const std::function<void()>& stop) {
  double cpu = 0;
  std::thread server([&] {
    pin(0);
    const double before = cpu_microseconds();
    serve();
    cpu = cpu_microseconds() - before;
  });
  pin(1);
  std::optional<Exchange> clients(std::in_place);
  for (int i = 0; i < connections; ++i) clients->ask(port, request_bytes());
  std::vector<double> latencies;
  std::size_t reply_size = 0;
  const auto began = Clock::now();
  auto now = began;
  const auto passed = [&] { return std::chrono::duration<double>(now - began).count(); };
  clients->run(
      request_bytes(),
      [&] {
        now = Clock::now();
        return passed() < seconds;
      },
      [&](Exchange::Peer& peer) {
        const auto answered = Clock::now();
        latencies.push_back(
            std::chrono::duration<double, std::micro>(answered - peer.asked).count());
        peer.asked = answered;
        reply_size = peer.expected;
      });
  clients.reset();
  stop();
  server.join();
  const auto count = static_cast<double>(latencies.size());
  if (latencies.empty()) throw Error(ErrorKind::io, "the server", "answered nothing");
  return {count / passed(), median(std::move(latencies)), cpu / count, reply_size};
}

Round run_echo(int connections, double seconds, const std::string& reply) {
  Exchange echo;
  const std::uint16_t port = echo.listen();
  std::atomic<bool> stop = false;
  const auto serve = [&] {
    echo.run(
        reply, [&] { return !stop; }, [](Exchange::Peer&) {});
  };
  return load(port, connections, seconds, serve, [&] { stop = true; });
}

Round run_http(int connections, double seconds) {
  kiln::Log log;
  kiln::http::HttpServer server(
      {.drain_time = std::chrono::milliseconds(500)},
      [](kiln::http::HttpRequest& request) {
        return request.body.view().size() == 12288 ? kiln::http::HttpReply{.body = reply_body()}
                                                   : kiln::http::error_reply(400, "wrong length");
      },
      log);
  return load(
      server.port(), connections, seconds, [&] { server.run(); }, [&] { server.stop(); });
}

// An answer of `size` bytes.
std::string reply_of(std::size_t size) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 150\r\nX: ";
  const std::string tail = "\r\n\r\n" + reply_body();
  if (size < head.size() + tail.size()) throw Error(ErrorKind::io, "the reply", "is too short");
  return head + std::string(size - head.size() - tail.size(), 'x') + tail;
}

std::vector<double> each(const std::vector<Round>& rounds, double Round::*member) {
  std::vector<double> values;
  for (const Round& round : rounds) values.push_back(round.*member);
  return values;
}

// Median, and the range of the middle half.
std::string spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  char text[64];
  std::snprintf(text, sizeof text, "%.3f (middle half %.3f to %.3f)", values[values.size() / 2],
                values[values.size() / 4], values[values.size() * 3 / 4]);
  return text;
}

void compare(int connections, double seconds, int rounds) {
  std::vector<Round> echo, http;
  std::vector<double> ratio, added, cpu;
  const std::string reply = reply_of(run_http(connections, seconds).reply_size);
  for (int i = 0; i < rounds; ++i) {
    echo.push_back(run_echo(connections, seconds, reply));
    http.push_back(run_http(connections, seconds));
    ratio.push_back(http.back().rate / echo.back().rate);
    added.push_back(http.back().latency_us - echo.back().latency_us);
    cpu.push_back(http.back().cpu_us - echo.back().cpu_us);
  }
  const auto line = [&](const char* name, const std::vector<Round>& all) {
    std::printf("  %s: %.0f requests/s, p50 %.1f us, server's CPU %.2f us a request\n", name,
                median(each(all, &Round::rate)), median(each(all, &Round::latency_us)),
                median(each(all, &Round::cpu_us)));
  };
  std::printf("%d connections, %d rounds of %g s in turns\n", connections, rounds, seconds);
  line("echo", echo);
  line("http", http);
  std::printf("  ratio of rates %s\n  added p50 in us %s\n  added CPU in us %s\n",
              spread(ratio).c_str(), spread(added).c_str(), spread(cpu).c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  const int connections = argc > 1 ? std::atoi(argv[1]) : 16;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  if (connections < 1 || connections > 1000 || seconds <= 0 || rounds < 1)
    throw Error(ErrorKind::usage, "arguments", "are out of range",
                "kiln-serve-bench [CONNECTIONS [SECONDS [ROUNDS]]]");
  compare(connections, seconds, rounds);
  if (connections != 1) compare(1, seconds, rounds);
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "kiln-serve-bench: %s\n", error.what());
  return error.exit_code();
}
