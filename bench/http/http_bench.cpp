// kiln-serve-bench [CONNECTIONS [SECONDS [ROUNDS]]]: POST of 12,288 bytes, a short JSON reply.
//
// The floor is an echo that reads the same bytes, finds the request's end by its Content-Length and
// sends as many bytes back; it judges nothing. Both servers run one thread, on core 0 where there
// are two, and meet the same clients on core 1, in turns within one run, so that other work on the
// machine meets both. What is reported are medians over the rounds and over the rounds' ratios.
#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/http/http_server.h"

namespace {

using kiln::Error;
using kiln::ErrorKind;
using kiln::UniqueFd;
using Clock = std::chrono::steady_clock;

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

int check(int result, const char* call) {
  if (result < 0) throw Error(ErrorKind::io, call, kiln::errno_text(errno));
  return result;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void watch(const UniqueFd& epoll, int fd, std::uint32_t number) {
  epoll_event event{.events = EPOLLIN, .data = {.u32 = number}};
  check(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Where there is one core only, both sides share it.
void pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  ::sched_setaffinity(0, sizeof cores, &cores);
}

// Of the thread that calls.
double cpu_microseconds() {
  rusage used{};
  check(::getrusage(RUSAGE_THREAD, &used), "getrusage");
  const auto microseconds = [](const timeval& t) {
    return 1e6 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec);
  };
  return microseconds(used.ru_utime) + microseconds(used.ru_stime);
}

struct Peer {
  UniqueFd fd;
  std::size_t received = 0, expected = 0;
  Clock::time_point asked;
};

// The bytes of a message, told by its first piece, which holds the header.
std::size_t message_size(std::string_view piece) {
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  const std::size_t end = piece.find("\r\n\r\n"), at = piece.find(kLength);
  if (end == piece.npos || at > end) throw Error(ErrorKind::io, "a peer", "sent no whole header");
  return end + 4 + std::strtoul(piece.data() + at + kLength.size(), nullptr, 10);
}

// For each message of a peer, calls `answered` and sends `answer` back. Both sides of the benchmark
// are this loop.
void exchange(std::vector<Peer>& peers, const UniqueFd& epoll, const std::string& answer,
              const std::function<bool()>& more, const std::function<void(Peer&)>& answered) {
  std::vector<char> buffer(1 << 16);
  epoll_event events[256];
  while (more()) {
    const int count = ::epoll_wait(epoll.get(), events, 256, 20);
    for (int i = 0; i < count; ++i) {
      Peer& peer = peers[events[i].data.u32];
      const ssize_t got = ::recv(peer.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got == 0) peer.fd.reset();
      if (got <= 0) continue;
      const auto size = static_cast<std::size_t>(got);
      if (peer.received == 0) peer.expected = message_size({buffer.data(), size});
      peer.received += size;
      if (peer.received < peer.expected) continue;
      if (peer.received > peer.expected) throw Error(ErrorKind::io, "a peer", "sent too much");
      peer.received = 0;
      answered(peer);
      // One message is less than a socket's buffer, and only one is under way.
      if (::send(peer.fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(answer.size()))
        throw Error(ErrorKind::io, "a peer", "took only a part");
    }
  }
}

UniqueFd listen_anywhere(std::uint16_t& port) {
  UniqueFd fd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), "bind");
  check(::listen(fd.get(), 1024), "listen");
  check(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  port = ntohs(address.sin_port);
  return fd;
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

std::vector<Peer> ask(std::uint16_t port, int connections, const UniqueFd& epoll) {
  std::vector<Peer> peers(connections);
  const sockaddr_in address = loopback(port);
  for (int i = 0; i < connections; ++i) {
    peers[i].fd = UniqueFd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    check(::connect(peers[i].fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
          "connect");
    watch(epoll, peers[i].fd.get(), i);
    peers[i].asked = Clock::now();
    ::send(peers[i].fd.get(), request_bytes().data(), request_bytes().size(), MSG_NOSIGNAL);
  }
  return peers;
}

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
  const UniqueFd epoll(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  std::vector<Peer> peers = ask(port, connections, epoll);
  std::vector<double> latencies;
  std::size_t reply_size = 0;
  const auto began = Clock::now();
  auto now = began;
  const auto passed = [&] { return std::chrono::duration<double>(now - began).count(); };
  exchange(
      peers, epoll, request_bytes(),
      [&] {
        now = Clock::now();
        return passed() < seconds;
      },
      [&](Peer& peer) {
        const auto answered = Clock::now();
        latencies.push_back(
            std::chrono::duration<double, std::micro>(answered - peer.asked).count());
        peer.asked = answered;
        reply_size = peer.expected;
      });
  peers.clear();
  stop();
  server.join();
  const auto count = static_cast<double>(latencies.size());
  if (latencies.empty()) throw Error(ErrorKind::io, "the server", "answered nothing");
  return {count / passed(), median(std::move(latencies)), cpu / count, reply_size};
}

Round run_echo(int connections, double seconds, const std::string& reply) {
  std::uint16_t port = 0;
  const UniqueFd listener = listen_anywhere(port);
  std::atomic<bool> stop = false;
  const auto serve = [&] {
    const UniqueFd epoll(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    std::vector<Peer> peers(connections);
    for (int i = 0; i < connections; ++i) {
      peers[i].fd = UniqueFd(check(::accept(listener.get(), nullptr, nullptr), "accept"));
      watch(epoll, peers[i].fd.get(), i);
    }
    exchange(
        peers, epoll, reply, [&] { return !stop; }, [](Peer&) {});
  };
  return load(port, connections, seconds, serve, [&] { stop = true; });
}

Round run_http(int connections, double seconds) {
  kiln::Log log;
  kiln::http::HttpServer server(
      {.drain_time = std::chrono::milliseconds(500)},
      [](kiln::http::HttpRequest& request) {
        return request.body.size() == 12288 ? kiln::http::HttpReply{.body = reply_body()}
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
