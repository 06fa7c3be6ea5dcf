#include "engine/comm/sockets.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "engine/core/error.h"

namespace kiln::comm {
namespace {

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// Those of a host; null where it is not known.
Addresses addresses_of(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
    found = nullptr;
  return {found, ::freeaddrinfo};
}

sockaddr_in6 as_ipv6(const in6_addr& address, int port) {
  sockaddr_in6 full{};
  full.sin6_family = AF_INET6;
  full.sin6_addr = address;
  full.sin6_port = htons(static_cast<std::uint16_t>(port));
  return full;
}

int port_of(int socket) {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length);
  if (own.ss_family == AF_INET6) {
    sockaddr_in6 address{};
    std::memcpy(&address, &own, sizeof address);
    return ntohs(address.sin6_port);
  }
  sockaddr_in address{};
  std::memcpy(&address, &own, sizeof address);
  return ntohs(address.sin_port);
}

Listener try_listen(const sockaddr* address, socklen_t length, int backlog) {
  UniqueFd socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return {.fault = errno};
  const int on = 1, off = 0;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address->sa_family == AF_INET6)
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(socket.get(), address, length) != 0 || ::listen(socket.get(), backlog) != 0)
    return {.fault = errno};
  const int port = port_of(socket.get());
  return {.socket = std::move(socket), .port = port};
}

Listener listen_anywhere(int port, int backlog) {
  const sockaddr_in6 all = as_ipv6(in6addr_any, port);
  Listener listener = try_listen(reinterpret_cast<const sockaddr*>(&all), sizeof all, backlog);
  if (listener.socket || listener.fault == EADDRINUSE) return listener;
  sockaddr_in old{};  // no IPv6 here
  old.sin_family = AF_INET;
  old.sin_port = htons(static_cast<std::uint16_t>(port));
  return try_listen(reinterpret_cast<const sockaddr*>(&old), sizeof old, backlog);
}

Listener listen_at_host(const std::string& host, int port, int backlog) {
  const Addresses found = addresses_of(host, port);
  if (!found) throw Error(ErrorKind::io, printable(host), "is no host that is known here");
  Listener listener;
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    listener = try_listen(at->ai_addr, at->ai_addrlen, backlog);
    if (listener.socket || listener.fault == EADDRINUSE) break;
  }
  return listener;
}

UniqueFd try_connect(const sockaddr* address, socklen_t length, std::chrono::milliseconds limit) {
  UniqueFd socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  set_rank_options(socket.get(), limit);  // bounds connect() too
  if (::connect(socket.get(), address, length) != 0) socket.reset();
  return socket;
}

}  // namespace

int milliseconds_until(SocketClock::time_point end) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(end - SocketClock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

Listener listen_at(const std::string& host, int port, int backlog) {
  Listener listener =
      host.empty() ? listen_anywhere(port, backlog) : listen_at_host(host, port, backlog);
  if (!listener.socket && (listener.fault != EADDRINUSE || port == 0))
    throw Error(ErrorKind::io,
                (host.empty() ? "port " : printable(host) + ":") + std::to_string(port),
                "cannot be listened at: " + errno_text(listener.fault));
  return listener;
}

UniqueFd connect_to(const std::string& host, int port, std::chrono::milliseconds limit) {
  const Addresses found = addresses_of(host, port);
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next)
    if (UniqueFd socket = try_connect(at->ai_addr, at->ai_addrlen, limit)) return socket;
  return UniqueFd();
}

UniqueFd connect_to(const in6_addr& address, int port, std::chrono::milliseconds limit) {
  if (!IN6_IS_ADDR_V4MAPPED(&address)) {
    const sockaddr_in6 full = as_ipv6(address, port);
    return try_connect(reinterpret_cast<const sockaddr*>(&full), sizeof full, limit);
  }
  sockaddr_in old{};  // a machine may have no IPv6
  old.sin_family = AF_INET;
  old.sin_port = htons(static_cast<std::uint16_t>(port));
  std::memcpy(&old.sin_addr, address.s6_addr + 12, sizeof old.sin_addr);
  return try_connect(reinterpret_cast<const sockaddr*>(&old), sizeof old, limit);
}

void set_rank_options(int socket, std::chrono::milliseconds limit) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval time{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

void set_blocking(int socket, bool blocking) {
  const int flags = ::fcntl(socket, F_GETFL);
  ::fcntl(socket, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

bool send_whole(int socket, const void* data, std::size_t size) {
  return ::send(socket, data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

bool receive_whole(int socket, void* data, std::size_t size, SocketClock::time_point end) {
  auto* at = static_cast<std::byte*>(data);
  while (size > 0) {
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, milliseconds_until(end)) <= 0) {
      if (SocketClock::now() >= end) return false;
      continue;
    }
    const ssize_t got = ::recv(socket, at, size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

in6_addr peer_address(int socket) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  in6_addr address{};
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &length) != 0) return address;
  if (peer.ss_family == AF_INET6) {
    sockaddr_in6 full{};
    std::memcpy(&full, &peer, sizeof full);
    return full.sin6_addr;
  }
  sockaddr_in old{};
  std::memcpy(&old, &peer, sizeof old);
  address.s6_addr[10] = address.s6_addr[11] = 0xff;
  std::memcpy(address.s6_addr + 12, &old.sin_addr, sizeof old.sin_addr);
  return address;
}

bool is_loopback(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&address);
}

std::string to_string(const in6_addr& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (IN6_IS_ADDR_V4MAPPED(&address))
    ::inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof text);
  else
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
  return text;
}

}  // namespace kiln::comm
