// One training run, from resolved flags to the files of the model directory.
#pragma once

#include "apps/common/signals.h"
#include "apps/train/flags.h"

namespace kiln {

// Returns the exit code: 0 finished, or stopped by SIGTERM with everything saved; 130 stopped by
// Ctrl-C with everything saved. Throws Error.
int run_training(const TrainFlags& flags, SignalWatch& signals);

}  // namespace kiln
