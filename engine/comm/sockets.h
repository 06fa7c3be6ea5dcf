// Sockets between ranks: listening, connecting, and whole messages within a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <netinet/in.h>
#include <string>

#include "engine/core/file.h"

namespace kiln::comm {

using SocketClock = std::chrono::steady_clock;

// Milliseconds until `end`, for poll(): 0 behind it.
int milliseconds_until(SocketClock::time_point end);

struct Listener {
  UniqueFd socket = UniqueFd();
  int port = 0;
  int fault = 0;  // errno of a listener without a socket
};

// Listens at the address that `host` has, or at all of this machine's where it is empty, by IPv6
// and IPv4 as there are. Port 0: one that is free. Without a socket where the port is taken; throws
// Error (io) for any other reason.
Listener listen_at(const std::string& host, int port, int backlog);

// A connection, blocking and with TCP_NODELAY; nothing where none of the host's addresses takes it
// within `limit` each.
UniqueFd connect_to(const std::string& host, int port, std::chrono::milliseconds limit);
UniqueFd connect_to(const in6_addr& address, int port, std::chrono::milliseconds limit);

// TCP_NODELAY, and `limit` for what a blocking call waits for.
void set_rank_options(int socket, std::chrono::milliseconds limit);
void set_blocking(int socket, bool blocking);

// False where it does not succeed; the latter also where not all of it has come until `end`,
// however slowly it comes.
bool send_whole(int socket, const void* data, std::size_t size);
bool receive_whole(int socket, void* data, std::size_t size, SocketClock::time_point end);

// Who is at the other end; an address of IPv4 in its IPv6 form.
in6_addr peer_address(int socket);
bool is_loopback(const in6_addr& address);
// "10.0.0.1", "fd00::1".
std::string to_string(const in6_addr& address);

}  // namespace kiln::comm
