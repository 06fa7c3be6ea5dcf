// Whether ranks can be processes of Open MPI here.
#pragma once

#include <string>

#include "engine/comm/launch.h"
#include "engine/comm/mpi_communicator.h"

namespace kiln::test {

// Empty where they can be; else what is missing.
inline std::string missing_mpi() {
  std::string why;
  if (!has_mpi(why)) return why;
  return find_mpirun().empty() ? "no mpirun in PATH" : "";
}

}  // namespace kiln::test
