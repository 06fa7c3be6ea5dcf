// A client that does what a test says, byte by byte if need be.
#pragma once

#include <arpa/inet.h>
#include <chrono>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "engine/core/file.h"

namespace kiln::http {

inline std::string get(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;  // what was sent is there, also behind bytes that nobody has read
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connected_ =
        ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }

  // False when the peer is gone.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  // Everything up to the end of the connection, a reset, or `patience` without a byte.
  std::string read_all(std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    std::string all;
    while (read_some(all, patience)) continue;
    return all;
  }

  // Until `text` was received `count` times, or what read_all() says.
  std::string read_until(std::string_view text, int count = 1) {
    std::string all;
    std::size_t at = 0;
    for (;;) {
      for (std::size_t found = all.find(text, at); found != all.npos; found = all.find(text, at)) {
        at = found + text.size();
        if (--count == 0) return all;
      }
      if (!read_some(all, std::chrono::seconds(20))) return all;
    }
  }

  void end_input() const { ::shutdown(fd_.get(), SHUT_WR); }
  // A reset instead of an orderly end.
  void abort() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }
  void close() { fd_.reset(); }

 private:
  bool read_some(std::string& all, std::chrono::milliseconds patience) const {
    pollfd watched{.fd = fd_.get(), .events = POLLIN};
    if (::poll(&watched, 1, static_cast<int>(patience.count())) != 1) return false;
    char bytes[4096];
    const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    all.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  UniqueFd fd_;
  bool connected_ = false;
};

}  // namespace kiln::http
