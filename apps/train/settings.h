// From flags to the options of the engine.
#pragma once

#include "apps/train/flags.h"
#include "engine/comm/agreement.h"
#include "engine/data/dataset.h"
#include "engine/train/trainer.h"
#include "models/spec.h"

namespace kiln {

// Throws Error (usage) for names and combinations that do not exist.
TrainOptions train_options(const TrainFlags& flags, const Normalisation& normalisation);

// The constants that `flags` ask for; measures the training set where they say so.
Normalisation choose_normalisation(const TrainFlags& flags, const Dataset& train, ThreadPool& pool);

// What tells data sets and networks apart. Of a data set: labels and every 64th picture, a
// millisecond for CIFAR-10.
std::string fingerprint(const Dataset& dataset);
std::string fingerprint(const ModelSpec& spec);

// What all ranks of a run must have equal: program, data, network and every setting that decides
// about the weights.
AgreedValues agreed_values(const TrainFlags& flags, const TrainSettings& shared,
                           const Dataset& test);

// What a resumed run must share with the run that wrote the checkpoint.
TrainSettings shared_settings(const TrainFlags& flags, const ModelSpec& spec, const Dataset& train,
                              const Normalisation& normalisation);

}  // namespace kiln
