// Ranks as processes of Open MPI, through the plug-in libkiln_mpi.so.
#pragma once

#include <memory>

#include "engine/comm/communicator.h"
#include "engine/comm/rank_watch.h"

namespace kiln {

// The communicator of this process, which mpirun has started; alone it is a run of one rank.
// Collective. Throws Error (unsupported) where the plug-in or Open MPI is missing, Error (io)
// naming a rank that does not come.
std::unique_ptr<Communicator> make_mpi_communicator(const WatchOptions& options);

// Whether there is a plug-in of this build beside the program or in ../lib, and it can be opened;
// else `why` says what is missing.
bool has_mpi(std::string& why);

}  // namespace kiln
