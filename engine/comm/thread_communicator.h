// Ranks as threads of one process: for machines without MPI, and for tests.
//
// A collective is done in shares: when all ranks have handed in their pointers, rank r computes the
// r-th part of the elements for everybody. A sum runs over the ranks in the order of their numbers,
// so its bits depend on nothing but their count.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "engine/comm/communicator.h"

namespace kiln {

struct ThreadRanksOptions {
  int size = 1;
  // How long a rank waits for another in one collective before it says which is missing.
  std::chrono::milliseconds deadline{60000};
};

// Runs body(communicator) once on each rank, every rank a thread, and returns when all are done.
// What a rank throws ends the others too: it is thrown here, of several the one that came first.
// So does a thread that cannot be started: an Error (io) that names its rank.
void run_thread_ranks(const ThreadRanksOptions& options,
                      const std::function<void(Communicator&)>& body);

}  // namespace kiln
