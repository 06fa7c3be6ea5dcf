#include "engine/http/listener.h"

#include <arpa/inet.h>
#include <cerrno>
#include <iterator>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/core/error.h"

namespace kiln::http {

UniqueFd listen_on(const std::string& address_text, std::uint16_t port) {
  const std::string name = address_text + ":" + std::to_string(port);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, address_text.c_str(), &address.sin_addr) != 1)
    throw Error(ErrorKind::usage, name, "is no IPv4 address", "such as 0.0.0.0 or 127.0.0.1");
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  // Not SO_REUSEPORT: a second server on the port must fail, not take half of the clients.
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 1024) != 0)
    throw Error(ErrorKind::io, name, "cannot listen: " + errno_text(errno),
                "choose another port, or stop what uses it");
  return fd;
}

std::uint16_t port_of(const UniqueFd& fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw Error(ErrorKind::io, "getsockname", errno_text(errno));
  return ntohs(address.sin_port);
}

// Byte 13 of the TCP header holds its flags.
bool drop_new_connections(const UniqueFd& listener) {
  constexpr std::uint32_t kFlagsOffset = 13, kSyn = 0x02, kWhole = 0xffffffff;
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlagsOffset),
                           BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kSyn, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, kWhole)};
  const sock_fprog filter{.len = std::size(program), .filter = program};
  return ::setsockopt(listener.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

}  // namespace kiln::http
