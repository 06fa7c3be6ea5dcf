// kiln-serve-bench [CONNECTIONS [SECONDS [ROUNDS]]]: POST of 12,288 bytes, a short JSON reply.
//
// The floor is an echo that counts bytes and never looks at them. Both servers run one thread and
// meet the same clients, in turns within one run, so that other work on the machine meets both;
// what is reported is the median of each and the median of the rounds' ratios.
#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/epoll.h>
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

struct Peer {
  UniqueFd fd;
  std::size_t received = 0;
};

// For each `expected` bytes of a peer, sends `answer` back; `answered` counts. Both sides of the
// benchmark are this loop.
void exchange(std::vector<Peer>& peers, const UniqueFd& epoll, std::size_t expected,
              const std::string& answer, const std::function<bool()>& more, long& answered) {
  std::vector<char> buffer(1 << 16);
  epoll_event events[256];
  while (more()) {
    const int count = ::epoll_wait(epoll.get(), events, 256, 20);
    for (int i = 0; i < count; ++i) {
      Peer& peer = peers[events[i].data.u32];
      const ssize_t got = ::recv(peer.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got == 0) peer.fd.reset();
      if (got <= 0) continue;
      peer.received += static_cast<std::size_t>(got);
      if (peer.received < expected) continue;
      if (peer.received > expected) throw Error(ErrorKind::io, "a peer", "sent too much");
      peer.received = 0;
      ++answered;
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

// Requests per second of clients that each wait for a reply before they ask again.
double load(std::uint16_t port, int connections, double seconds, std::size_t reply_bytes) {
  const UniqueFd epoll(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  std::vector<Peer> peers(connections);
  const sockaddr_in address = loopback(port);
  for (int i = 0; i < connections; ++i) {
    peers[i].fd = UniqueFd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    check(::connect(peers[i].fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
          "connect");
    watch(epoll, peers[i].fd.get(), i);
    ::send(peers[i].fd.get(), request_bytes().data(), request_bytes().size(), MSG_NOSIGNAL);
  }
  long answered = 0;
  const auto began = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  exchange(
      peers, epoll, reply_bytes, request_bytes(), [&] { return passed() < seconds; }, answered);
  return static_cast<double>(answered) / passed();
}

double run_echo(int connections, double seconds, const std::string& reply) {
  std::uint16_t port = 0;
  const UniqueFd listener = listen_anywhere(port);
  std::atomic<bool> stop = false;
  std::thread server([&] {
    const UniqueFd epoll(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    std::vector<Peer> peers(connections);
    for (int i = 0; i < connections; ++i) {
      peers[i].fd = UniqueFd(check(::accept(listener.get(), nullptr, nullptr), "accept"));
      watch(epoll, peers[i].fd.get(), i);
    }
    long answered = 0;
    exchange(
        peers, epoll, request_bytes().size(), reply, [&] { return !stop; }, answered);
  });
  const double rate = load(port, connections, seconds, reply.size());
  stop = true;
  server.join();
  return rate;
}

double run_http(int connections, double seconds, std::size_t reply_bytes) {
  kiln::Log log;
  kiln::http::HttpServer server(
      {.drain_time = std::chrono::milliseconds(500)},
      [](kiln::http::HttpRequest& request) {
        return request.body.size() == 12288 ? kiln::http::HttpReply{.body = reply_body()}
                                            : kiln::http::error_reply(400, "wrong length");
      },
      log);
  std::thread thread([&] { server.run(); });
  const double rate = load(server.port(), connections, seconds, reply_bytes);
  server.stop();
  thread.join();
  return rate;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) try {
  const int connections = argc > 1 ? std::atoi(argv[1]) : 16;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  if (connections < 1 || connections > 1000 || seconds <= 0 || rounds < 1)
    throw Error(ErrorKind::usage, "arguments", "are out of range",
                "kiln-serve-bench [CONNECTIONS [SECONDS [ROUNDS]]]");
  const std::string reply =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 150\r\n\r\n" +
      reply_body();
  std::vector<double> echo, http, ratio;
  for (int i = 0; i < rounds; ++i) {
    echo.push_back(run_echo(connections, seconds, reply));
    http.push_back(run_http(connections, seconds, reply.size()));
    ratio.push_back(http.back() / echo.back());
  }
  std::printf(
      "%d connections, %d rounds of %g s: echo %.0f requests/s, http %.0f requests/s, "
      "ratio %.3f (%.3f to %.3f)\n",
      connections, rounds, seconds, median(echo), median(http), median(ratio),
      *std::min_element(ratio.begin(), ratio.end()), *std::max_element(ratio.begin(), ratio.end()));
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "kiln-serve-bench: %s\n", error.what());
  return error.exit_code();
}
