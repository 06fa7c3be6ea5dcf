// Ranks as processes that reach each other over TCP, with nothing of MPI: those that torchrun has
// started, or kiln itself.
//
// Every two ranks share a connection. In a sum rank r adds up the r-th part of the elements: each
// rank sends it what it has of that part, and is sent the sums. What is added runs over the ranks
// in the order of their numbers, as with threads, so the bits are the same on all ranks and depend
// on nothing but their count. A rank sends and receives 2 (n - 1) / n of the elements, the least
// possible.
//
// All that a connection carries comes in the order of the collectives, each with a header that says
// what it is, so that calls which do not fit are seen.
#pragma once

#include <memory>

#include "engine/comm/communicator.h"
#include "engine/comm/rendezvous.h"

namespace kiln {

// Collective. Throws Error as meet_ranks() does.
std::unique_ptr<Communicator> make_tcp_communicator(const MeetingPlace& place,
                                                    const WatchOptions& options);

}  // namespace kiln
