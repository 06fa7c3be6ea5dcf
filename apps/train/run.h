// One training run, from resolved flags to the files of the model directory.
#pragma once

#include <string>
#include <vector>

#include "apps/common/signals.h"
#include "apps/train/flags.h"

namespace kiln {

// With several ranks of which each is a process, this is one of them; with ranks that are threads
// all of them run here; else, where --ranks asks for processes, mpirun takes this process's place.
// Returns the exit code: 0 finished, or stopped by SIGTERM with everything saved; 130 stopped by
// Ctrl-C with everything saved. Throws Error.
int run_training(const TrainFlags& flags, const std::vector<std::string>& command_line,
                 SignalWatch& signals);

}  // namespace kiln
