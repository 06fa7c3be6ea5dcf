// The network between the hosts of a job: names and interfaces. IPv4, which is what the
// platform's hosts and Open MPI's daemons speak.
#pragma once

#include <cstdint>
#include <string>

namespace kiln::sagemaker {

// "10.0.1.7"; empty where the name does not resolve, or not yet.
std::string address_of(const std::string& host);

// Whether there is a network interface of that name, up and with an address.
bool has_interface(const std::string& name);
// The interface by which this host reaches an address; empty where none does.
std::string interface_towards(const std::string& address);

// A peer that vanishes without a farewell closes the connection within half a minute.
void notice_a_lost_peer(int socket);

// Whether a server of ssh greets there.
bool greets_as_ssh(const std::string& address, std::uint16_t port);

}  // namespace kiln::sagemaker
