#include "apps/sagemaker-train/network.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <functional>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "engine/core/error.h"

namespace kiln::sagemaker {
namespace {

constexpr std::chrono::milliseconds kGreetingTime{2000};

sockaddr_in socket_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  return address;
}

bool parse_address(const std::string& text, std::uint16_t port, sockaddr_in& address) {
  address = socket_address(port);
  return ::inet_pton(AF_INET, text.c_str(), &address.sin_addr) == 1;
}

// The name of the first interface that is up, has an address, and fits.
std::string find_interface(
    const std::function<bool(std::string_view name, const in_addr& address)>& fits) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, &::freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, at->ifa_addr, sizeof address);
    if ((at->ifa_flags & IFF_UP) != 0 && fits(at->ifa_name, address.sin_addr)) return at->ifa_name;
  }
  return {};
}

}  // namespace

std::string address_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  sockaddr_in address{};
  std::memcpy(&address, found->ai_addr, sizeof address);
  char text[INET_ADDRSTRLEN];
  const char* written = ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  return written == nullptr ? std::string() : written;
}

bool has_interface(const std::string& name) {
  return !find_interface([&](std::string_view one, const in_addr&) { return one == name; }).empty();
}

// Connecting a datagram socket sends nothing; the kernel chooses the route and with it an address
// of this host.
std::string interface_towards(const std::string& address) {
  sockaddr_in there{}, here{};
  socklen_t length = sizeof here;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || !parse_address(address, 9, there) ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&here), &length) != 0)
    return {};
  return find_interface(
      [&](std::string_view, const in_addr& own) { return own.s_addr == here.sin_addr.s_addr; });
}

UniqueFd listen_on(std::uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const sockaddr_in any = socket_address(port);
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0)
    throw Error(ErrorKind::io, "port " + std::to_string(port),
                "cannot be listened on for the other hosts: " + errno_text(errno));
  return socket;
}

std::uint16_t port_of(int socket) {
  sockaddr_in own{};
  socklen_t length = sizeof own;
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0
             ? ntohs(own.sin_port)
             : std::uint16_t{0};
}

UniqueFd connect_to(const std::string& address, std::uint16_t port,
                    std::chrono::milliseconds time) {
  sockaddr_in there{};
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || !parse_address(address, port, there)) return UniqueFd();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0)
    return socket;
  pollfd ready{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  int fault = 0;
  socklen_t length = sizeof fault;
  if (errno != EINPROGRESS || ::poll(&ready, 1, static_cast<int>(time.count())) != 1 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &fault, &length) != 0 || fault != 0)
    return UniqueFd();
  return socket;
}

void notice_a_lost_peer(int socket) {
  const int on = 1, idle_s = 10, interval_s = 5, probes = 4, unsent_ms = 30000;
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms, sizeof unsent_ms);
}

bool greets_as_ssh(const std::string& address, std::uint16_t port) {
  const UniqueFd socket = connect_to(address, port, kGreetingTime);
  if (!socket) return false;
  pollfd ready{.fd = socket.get(), .events = POLLIN, .revents = 0};
  char text[4];
  return ::poll(&ready, 1, static_cast<int>(kGreetingTime.count())) == 1 &&
         ::recv(socket.get(), text, sizeof text, MSG_WAITALL) == sizeof text &&
         std::string_view(text, sizeof text) == "SSH-";
}

}  // namespace kiln::sagemaker
