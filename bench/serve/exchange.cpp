#include "bench/serve/exchange.h"

#include <cerrno>
#include <cstdlib>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "engine/core/error.h"

namespace kiln::bench {
namespace {

constexpr std::uint32_t kListener = ~0u;

void set_no_delay(const UniqueFd& fd) {
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// The bytes of a message, told by its first piece, which holds the header.
std::size_t message_size(std::string_view piece) {
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  const std::size_t end = piece.find("\r\n\r\n"), at = piece.find(kLength);
  if (end == piece.npos || at > end) throw Error(ErrorKind::io, "a peer", "sent no whole header");
  return end + 4 + std::strtoul(piece.data() + at + kLength.size(), nullptr, 10);
}

void send_whole(const UniqueFd& fd, std::string_view message) {
  // One message is less than a socket's buffer, and only one is under way.
  if (::send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(message.size()))
    throw Error(ErrorKind::io, "a peer", "took only a part");
}

}  // namespace

int check(int result, const char* call) {
  if (result < 0) throw Error(ErrorKind::io, call, errno_text(errno));
  return result;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno != ECONNREFUSED && errno != ECONNRESET) check(-1, "connect");
    return UniqueFd();
  }
  set_no_delay(fd);
  return fd;
}

void pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  ::sched_setaffinity(0, sizeof cores, &cores);
}

double cpu_microseconds() {
  rusage used{};
  check(::getrusage(RUSAGE_THREAD, &used), "getrusage");
  const auto microseconds = [](const timeval& t) {
    return 1e6 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec);
  };
  return microseconds(used.ru_utime) + microseconds(used.ru_stime);
}

Exchange::Exchange()
    : epoll_(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")), buffer_(1 << 16, '\0') {}

std::uint16_t Exchange::listen() {
  listener_ = UniqueFd(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  check(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), length), "bind");
  check(::listen(listener_.get(), 1024), "listen");
  check(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length),
        "getsockname");
  epoll_event event{.events = EPOLLIN, .data = {.u32 = kListener}};
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event), "epoll_ctl");
  return ntohs(address.sin_port);
}

void Exchange::add(UniqueFd fd) {
  epoll_event event{.events = EPOLLIN, .data = {.u32 = static_cast<std::uint32_t>(peers_.size())}};
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event), "epoll_ctl");
  peers_.push_back({.fd = std::move(fd), .asked = Clock::now()});
}

void Exchange::ask(std::uint16_t port, std::string_view message) {
  UniqueFd fd = connect_to(port);
  if (!fd) throw Error(ErrorKind::io, "port " + std::to_string(port), "nobody listens");
  add(std::move(fd));
  send_whole(peers_.back().fd, message);
}

void Exchange::run(std::string_view answer, const std::function<bool()>& more,
                   const std::function<void(Peer&)>& answered) {
  epoll_event events[256];
  while (more()) {
    const int count = ::epoll_wait(epoll_.get(), events, 256, 20);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u32 != kListener) {
        receive(peers_[events[i].data.u32], answer, answered);
        continue;
      }
      UniqueFd fd(check(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept"));
      set_no_delay(fd);
      add(std::move(fd));
    }
  }
}

void Exchange::receive(Peer& peer, std::string_view answer,
                       const std::function<void(Peer&)>& answered) {
  const ssize_t got = ::recv(peer.fd.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno == ECONNRESET)) peer.fd.reset();
  if (got <= 0) return;
  const auto size = static_cast<std::size_t>(got);
  if (peer.received == 0) peer.expected = message_size({buffer_.data(), size});
  peer.received += size;
  if (peer.received < peer.expected) return;
  if (peer.received > peer.expected) throw Error(ErrorKind::io, "a peer", "sent too much");
  peer.received = 0;
  answered(peer);
  send_whole(peer.fd, answer);
}

}  // namespace kiln::bench
