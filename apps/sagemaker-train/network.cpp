#include "apps/sagemaker-train/network.h"

#include <arpa/inet.h>
#include <cstring>
#include <functional>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "engine/comm/sockets.h"

namespace kiln::sagemaker {
namespace {

constexpr std::chrono::milliseconds kGreetingTime{2000};

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
  there.sin_family = AF_INET;
  there.sin_port = htons(9);
  socklen_t length = sizeof here;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::inet_pton(AF_INET, address.c_str(), &there.sin_addr) != 1 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&here), &length) != 0)
    return {};
  return find_interface(
      [&](std::string_view, const in_addr& own) { return own.s_addr == here.sin_addr.s_addr; });
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
  const auto end = comm::SocketClock::now() + kGreetingTime;
  const UniqueFd socket = comm::connect_to(address, port, kGreetingTime);
  char text[4];
  return socket && comm::receive_whole(socket.get(), text, sizeof text, end) &&
         std::string_view(text, sizeof text) == "SSH-";
}

}  // namespace kiln::sagemaker
