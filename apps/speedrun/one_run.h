// One complete run by the clock of kiln speedrun.
#pragma once

#include <functional>

#include "apps/speedrun/series.h"
#include "apps/train/flags.h"
#include "engine/data/dataset.h"
#include "engine/train/trainer.h"
#include "models/spec.h"

namespace kiln {

// What the runs of a series share.
struct Track {
  const TrainFlags& flags;
  const DatasetPair& data;
  ModelSpec spec;
  DType storage;
  Context& context;
  Conv2dProviders& providers;
};

// Trains and evaluates from the weights of `seed` on. `stop_asked` is asked after every step:
// throws Stopped where it names a signal, and Error (diverged) as Trainer does.
RunResult run_once(Track& track, std::uint64_t seed, const std::function<int()>& stop_asked);

}  // namespace kiln
