// One training run, from resolved flags to the files of the model directory.
#pragma once

#include <string>
#include <vector>

#include "apps/common/signals.h"
#include "apps/train/flags.h"
#include "engine/core/error.h"
#include "engine/train/trainer.h"

namespace kiln {

// What is known of a run before its first step.
struct RunFacts {
  std::string device;
  std::int64_t train_count = 0, test_count = 0;  // pictures
  std::int64_t batch_count = 0;                  // of an epoch
  std::int64_t parameter_count = 0, class_count = 0;
  int ranks = 1;
  Path checkpoint;         // where it is written
  TrainPosition position;  // not the start: the run goes on from the checkpoint
};

// A run that tells its story in words of its own, by the first rank alone. While one listens, the
// run prints no progress.
class RunListener : public TrainObserver {
 public:
  virtual void ready(const RunFacts&) {}
  virtual void saved(const Path& /*model_dir*/) {}
  // Of any rank that is a process, called by another thread than the others: another rank is lost,
  // and mpirun ends this one within a second; and, behind that, this one is in a call that does not
  // come back, and ends now.
  virtual void lost(const Error& /*why*/) {}
  virtual void stuck(const Error& /*why*/) {}
};

// With several ranks of which each is a process, this is one of them; with ranks that are threads
// all of them run here; else, where --ranks asks for processes, this program is started again, with
// this command line, once for each: by mpirun, or by itself.
// Returns the exit code: 0 finished, or stopped by SIGTERM with everything saved; 130 stopped by
// Ctrl-C with everything saved. Throws Error.
int run_training(const TrainFlags& flags, const std::vector<std::string>& command_line,
                 SignalWatch& signals, RunListener* listener = nullptr);

}  // namespace kiln
