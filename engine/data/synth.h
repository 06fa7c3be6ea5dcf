// A stand-in for CIFAR-10 where no real pictures are at hand: ten classes of shapes and textures,
// 32x32 RGB, drawn from counters. Place, size, turn, colours, shading, a stray line and noise are
// random, so that no pixel tells a class: a linear model stays under 60 %, a small convolutional
// network learns the set well. It says nothing about accuracy on real pictures, and every name
// that it carries says that it is synthetic.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/data/dataset.h"

namespace kiln {

struct SynthOptions {
  std::uint64_t seed = 1;
  std::int64_t train_count = 50'000;
  std::int64_t test_count = 10'000;
};

// Called now and then from the calling thread.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

// One split in memory. A picture depends on (seed, split, index) alone. Classes are equally
// frequent (as far as the count allows) and mixed.
Dataset draw_synthetic(const SynthOptions& options, Split split, ThreadPool& pool,
                       const Progress& progress = {});

// [32, 32, 3] of one picture and its label.
std::int32_t draw_synthetic_picture(std::uint64_t seed, Split split, std::int64_t index,
                                    std::uint8_t* image);

// What the marker file of a drawn set says.
std::string synthetic_note(const SynthOptions& options);

}  // namespace kiln
