// Checkpoint: everything that a run needs to go on as if it had never stopped, in one file.
//
// The file is safetensors: weights and running statistics under PyTorch's names, optimizer state
// under "optimizer.<state>.<name>", averages under "lookahead.<name>", counters and settings in the
// metadata, with a checksum of it all. It is written to a temporary name, synced and renamed, so
// the last whole checkpoint survives a kill at any moment and a full disk.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "engine/core/file.h"
#include "engine/train/lookahead.h"
#include "engine/train/optimizer.h"
#include "engine/train/parameters.h"

namespace kiln {

// Where a run stands between two steps. Sums restart with each epoch (or log interval).
struct TrainPosition {
  std::int64_t epoch = 0;       // epochs finished
  std::int64_t epoch_step = 0;  // steps taken in the epoch under way
  std::int64_t step = 0;        // steps taken since the start
  double epoch_loss_sum = 0.0;  // nats over the pictures of the epoch under way
  std::int64_t epoch_hit_count = 0;
  std::int64_t epoch_image_count = 0;
  double epoch_seconds = 0.0;
  double interval_loss_sum = 0.0;  // mean losses of the steps since the last log line
  std::int64_t interval_step_count = 0;

  bool operator==(const TrainPosition&) const = default;
};

// What the last step was taken with, and its mean loss; NaN where no step was taken.
struct LastStep {
  double learning_rate = std::numeric_limits<double>::quiet_NaN();
  double loss = std::numeric_limits<double>::quiet_NaN();
};

// Settings that a resumed run must share with the first one, by the name of their flag.
using TrainSettings = std::map<std::string, std::string, std::less<>>;

// Throws Error (io), or Error (diverged) when a weight is not finite: a bad checkpoint never
// replaces a good one.
// `last` and the optimizer's options are for readers of the file: a resumed run has its own.
void save_checkpoint(const Path& path, const ParameterStore& parameters, const Optimizer& optimizer,
                     const TrainPosition& position, const TrainSettings& settings,
                     const LastStep& last = {}, const Lookahead* lookahead = nullptr);

// Fills parameters, optimizer and averages, and returns the position. Throws Error (input) naming
// the file and the fault, such as one bit that is not what was written, or the first setting that
// differs. Files of earlier builds have no checksum.
TrainPosition load_checkpoint(const Path& path, ParameterStore& parameters, Optimizer& optimizer,
                              const TrainSettings& settings, const Lookahead* lookahead = nullptr);

}  // namespace kiln
