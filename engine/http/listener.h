// The socket that clients connect to.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/file.h"

namespace kiln::http {

// Binds and listens, without waiting in accept(). `address_text`: IPv4; port 0: the system chooses.
// Throws Error: usage for what is no address, io where the port cannot be had.
UniqueFd listen_on(const std::string& address_text, std::uint16_t port);

// The port that a socket is bound to. Throws Error (io).
std::uint16_t port_of(const UniqueFd& fd);

// From now on the kernel drops the first segment (SYN) of every new connection to `listener`, and
// nothing else: who has begun to connect can finish. False where the system does not allow it.
bool drop_new_connections(const UniqueFd& listener);

}  // namespace kiln::http
