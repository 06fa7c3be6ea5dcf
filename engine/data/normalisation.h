// Normalisation: the constants that turn bytes into what a network sees, x = (byte/255 - mean)/std
// per channel.
#pragma once

#include <array>

#include "engine/data/dataset.h"

namespace kiln {

struct Normalisation {
  enum class Mode {
    chosen,     // constants given by a person
    measured,   // mean and deviation of each channel over the training set
    per_image,  // each picture by its own mean and deviation over all its values; constants unused
  };
  Mode mode = Mode::chosen;
  // On the scale where a byte of 255 is 1. Entries past the channel count are unused.
  std::array<float, 3> mean{0.5f, 0.5f, 0.5f};
  std::array<float, 3> std{0.5f, 0.5f, 0.5f};
};

// Mean and (population) deviation of every channel of the set. Sums are exact integers, so the
// thread count changes nothing. A constant channel gets a deviation of 1.
Normalisation measure_normalisation(const Dataset& dataset, ThreadPool& pool);

}  // namespace kiln
