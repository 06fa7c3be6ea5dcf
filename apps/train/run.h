// One training run, from resolved flags to the files of the model directory.
#pragma once

#include <string>

#include "apps/common/signals.h"
#include "apps/train/flags.h"
#include "engine/train/trainer.h"

namespace kiln {

// What is known of a run before its first step.
struct RunFacts {
  std::string device;
  std::int64_t train_count = 0, test_count = 0;  // pictures
  std::int64_t batch_count = 0;                  // of an epoch
  std::int64_t parameter_count = 0, class_count = 0;
  Path checkpoint;         // where it is written
  TrainPosition position;  // not the start: the run goes on from the checkpoint
};

// A run that tells its story in words of its own. While one listens, the run prints no progress.
class RunListener : public TrainObserver {
 public:
  virtual void ready(const RunFacts&) {}
  virtual void saved(const Path& /*model_dir*/) {}
};

// Returns the exit code: 0 finished, or stopped by SIGTERM with everything saved; 130 stopped by
// Ctrl-C with everything saved. Throws Error.
int run_training(const TrainFlags& flags, SignalWatch& signals, RunListener* listener = nullptr);

}  // namespace kiln
