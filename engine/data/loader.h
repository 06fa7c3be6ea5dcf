// Loader: batches of one epoch after another, shuffled and augmented, assembled ahead of time.
//
// The order of an epoch is a permutation drawn from (seed, epoch) alone (RandomStream::shuffle).
// With several ranks, step b takes the `step_size` samples that follow in that order
// and rank r the r-th part of them: every rank makes the same number of steps, the ranks together
// see each sample once, and what a step sees does not depend on how many ranks share it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/data/augment.h"
#include "engine/data/dataset.h"

namespace kiln {

struct LoaderOptions {
  std::int64_t batch_size = 64;  // of this rank
  std::uint64_t seed = 0;
  bool shuffle = true;
  Augmentation augmentation = {};
  int workers = 0;         // threads that assemble batches ahead; 0: next() assembles
  bool drop_last = false;  // leave out a last step that is not full
  int rank = 0;
  int rank_count = 1;
  // Samples of a step on all ranks together; 0: batch_size * rank_count. Otherwise batch_size does
  // not count, and the ranks' parts may differ by one sample.
  std::int64_t step_size = 0;
  // Ranks' parts of a step end on multiples of this many samples, and so may differ by as many.
  std::int64_t unit = 1;
};

// Where part `part` of `count` samples begins that are cut into `parts` on multiples of `unit`; all
// of them behind the last. Parts differ by a unit at most.
constexpr std::int64_t part_begin(std::int64_t count, int part, int parts, std::int64_t unit) {
  const std::int64_t begin = (count + unit - 1) / unit * part / parts * unit;
  return begin < count ? begin : count;
}

struct Batch {
  std::span<const std::uint8_t> images;   // [count, height, width, channels]
  std::span<const std::int32_t> labels;   // [count]
  std::int64_t count = 0;                 // batch_size; less in an epoch's last step, where it may
                                          // be 0 for a rank when samples are fewer than ranks
  std::int64_t step_count = 0;            // samples of this step on all ranks together
  std::span<const std::int64_t> indices;  // [count] positions in the data set
};

class Loader {
 public:
  // `dataset` must outlive the Loader. Throws Error (usage) for settings that cannot work.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Begins epoch `epoch` at step `first_batch`; the batches that follow are those of an epoch
  // begun at 0, but the first leaves out its first `seen` samples: a run that goes on with another
  // step size has seen them. Must be called before the first next(); ends an epoch under way.
  void start_epoch(std::uint32_t epoch, std::int64_t first_batch = 0, std::int64_t seen = 0);
  // The next batch, valid until the next call; nullptr after the last. Without shuffling and
  // augmentation the batch lies in the data set itself. Allocates nothing.
  const Batch* next();
  // The samples of the epoch in the order in which its batches take them; of all ranks.
  std::span<const std::int64_t> order() const;
  // Steps of an epoch, equal on all ranks.
  std::int64_t batch_count() const;
  std::int64_t step_size() const;
  // Seconds that next() kept the caller waiting for pictures, since construction: blocked on the
  // workers, or assembling when there are none.
  double waited_seconds() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln
