// How the ranks of a run meet over TCP. Rank 0 listens where all know; each other rank tells it
// where it listens itself, is told where the others do when all have come, and connects to those
// before it. So every two ranks share a connection, and each has one more to rank 0, over which
// RankWatch sees who dies. Strangers are turned away, in no time of the others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/comm/launch.h"
#include "engine/comm/rank_watch.h"

namespace kiln {

struct MeetingPlace {
  int rank = 0, size = 1;
  // Rank 0 listens at the first port from this one on that is free, of kPorts at most; the others
  // look there.
  std::string address;
  int port = 0;
  // Identity of the run, the same on all ranks; nobody of another run is let in. No secret.
  std::string run;
  bool one_machine = false;  // listens at `address` alone

  static constexpr int kPorts = 16;
};

// What a launcher has said in the environment. Throws Error (usage) where it says no place.
MeetingPlace meeting_place(const RankEnvironment& environment);

struct Meeting {
  std::unique_ptr<RankWatch> watch;
  std::vector<UniqueFd> sockets;  // by rank, without one for this rank itself; nonblocking
};

// Collective. Throws Error (io) naming the rank that has not come, or cannot be reached, within
// options.deadline, Error (usage) where ranks do not belong together.
Meeting meet_ranks(const MeetingPlace& place, const WatchOptions& options);

}  // namespace kiln
