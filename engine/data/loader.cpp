#include "engine/data/loader.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/prefetch.h"

namespace kiln {
namespace {

// Workers and consumer meet once per group of steps of at least this many samples: at batch 4 a
// lock per batch would cost more than the four pictures.
constexpr std::int64_t kGroupSamples = 256;

std::int64_t step_size_of(const LoaderOptions& options) {
  return options.step_size > 0 ? options.step_size : options.batch_size * options.rank_count;
}

void check_options(const Dataset& dataset, const LoaderOptions& options) {
  const auto refuse = [](const std::string& thing, const char* wrong) {
    throw Error(ErrorKind::usage, thing, wrong);
  };
  if (options.batch_size < 1 || options.batch_size > (std::int64_t{1} << 31))
    refuse("batch size " + std::to_string(options.batch_size), "must lie in 1 to 2^31");
  if (options.workers < 0 || options.workers > 256)
    refuse("workers " + std::to_string(options.workers), "must lie in 0 to 256");
  if (options.step_size < 0 || options.step_size > (std::int64_t{1} << 31))
    refuse("step size " + std::to_string(options.step_size), "must lie in 0 to 2^31");
  if (options.rank_count < 1 || options.rank < 0 || options.rank >= options.rank_count)
    refuse("rank " + std::to_string(options.rank), "must lie in 0 to the rank count less 1");
  if (options.unit < 1) refuse("unit " + std::to_string(options.unit), "must be 1 or more");
  if (dataset.size() == 0) refuse("data set", "is empty");
  if (options.drop_last && dataset.size() < step_size_of(options))
    throw Error(ErrorKind::usage, "--drop-last",
                "leaves nothing of " + std::to_string(dataset.size()) +
                    " pictures, where a step takes " + std::to_string(step_size_of(options)),
                "use a smaller --batch-size, fewer ranks, or no --drop-last");
}

ImageExtents extents_of(const DatasetInfo& info) {
  return {static_cast<int>(info.height), static_cast<int>(info.width),
          static_cast<int>(info.channels)};
}

// Fisher and Yates.
void shuffle_order(std::vector<std::int64_t>& order, std::uint64_t seed, std::uint32_t epoch) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  RandomSequence random(seed, RandomStream::shuffle, epoch);
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[random.next_below(static_cast<std::uint32_t>(i))]);
}

struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t count() const { return last - first; }
};

// Samples of a few consecutive steps, assembled; empty where batches lie in the data set.
struct Slot {
  std::vector<std::uint8_t> images;
  std::vector<std::int32_t> labels;
};

}  // namespace

class Loader::Impl {
 public:
  Impl(const Dataset& dataset, const LoaderOptions& options);

  void start_epoch(std::uint32_t epoch, std::int64_t first_batch, std::int64_t seen);
  const Batch* next();
  std::int64_t batch_count() const { return batch_count_; }
  std::int64_t step_size() const { return step_; }
  std::span<const std::int64_t> order() const { return order_; }
  double waited_seconds() const {
    return prefetcher_ ? prefetcher_->waited_seconds() : waited_seconds_;
  }

 private:
  // Positions in the epoch's order that all ranks, and that this rank, take in step `batch`.
  Range step_of(std::int64_t batch) const;
  Range range_of(std::int64_t batch) const;
  void assemble(std::int64_t batch, Slot& slot, std::int64_t at) const;
  void fill_group(std::int64_t group, Slot& slot) const;
  void point_into(const Slot& slot, std::int64_t at);
  void point_into_dataset(const Range& range);
  std::int64_t first_batch_of(std::int64_t group) const {
    return first_batch_ + group * group_size_;
  }

  const Dataset& dataset_;
  const LoaderOptions options_;
  const ImageExtents extents_;
  const bool direct_;            // batches lie in the data set
  const std::int64_t step_;      // samples of a step on all ranks
  std::int64_t group_size_ = 1;  // steps per slot
  std::int64_t batch_count_ = 0;
  std::vector<std::int64_t> order_;
  std::uint32_t epoch_ = 0;
  std::int64_t first_batch_ = 0;
  std::int64_t seen_ = 0;      // samples of the first batch that it leaves out
  std::int64_t in_group_ = 0;  // samples of the group before the batch
  std::int64_t next_batch_ = 0;
  bool started_ = false;
  std::vector<Slot> slots_;
  int slot_ = 0;
  Batch batch_;
  double waited_seconds_ = 0.0;
  std::optional<Prefetcher> prefetcher_;  // last: its threads use all of the above
};

Loader::Impl::Impl(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(options),
      extents_(extents_of(dataset.info())),
      direct_(!options.shuffle && !options.augmentation.any()),
      step_(step_size_of(options)) {
  check_options(dataset, options);
  check_augmentation(options.augmentation, extents_);
  batch_count_ = options.drop_last ? dataset.size() / step_ : (dataset.size() + step_ - 1) / step_;
  const std::int64_t units = (step_ + options.unit - 1) / options.unit;
  const std::int64_t batch_size =
      (units + options.rank_count - 1) / options.rank_count * options.unit;
  order_.resize(static_cast<std::size_t>(dataset.size()));
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  if (direct_) return;
  const bool ahead = options.workers > 0;
  if (ahead) group_size_ = (kGroupSamples + batch_size - 1) / batch_size;
  const auto samples = static_cast<std::size_t>(std::min(group_size_ * batch_size, dataset.size()));
  // Two slots per worker, one to fill while the other waits, and the one that the caller reads.
  slots_.resize(ahead ? static_cast<std::size_t>(2 * options.workers + 1) : 1);
  for (Slot& slot : slots_) {
    slot.images.resize(samples * static_cast<std::size_t>(dataset.image_bytes()));
    slot.labels.resize(samples);
  }
  if (ahead)
    prefetcher_.emplace(options.workers, static_cast<int>(slots_.size()),
                        [this](std::int64_t group, int slot) {
                          fill_group(group, slots_[static_cast<std::size_t>(slot)]);
                        });
}

Range Loader::Impl::step_of(std::int64_t batch) const {
  const std::int64_t first = batch * step_ + (batch == first_batch_ ? seen_ : 0);
  return {std::min(first, dataset_.size()), std::min((batch + 1) * step_, dataset_.size())};
}

Range Loader::Impl::range_of(std::int64_t batch) const {
  const Range step = step_of(batch);
  const auto begin = [&](int rank) {
    return step.first + part_begin(step.count(), rank, options_.rank_count, options_.unit);
  };
  return {begin(options_.rank), begin(options_.rank + 1)};
}

void Loader::Impl::assemble(std::int64_t batch, Slot& slot, std::int64_t at) const {
  const Range range = range_of(batch);
  const auto image_bytes = static_cast<std::size_t>(dataset_.image_bytes());
  std::uint8_t* out = slot.images.data() + static_cast<std::size_t>(at) * image_bytes;
  for (std::int64_t i = range.first; i < range.last; ++i, ++at, out += image_bytes) {
    const std::int64_t index = order_[static_cast<std::size_t>(i)];
    const std::uint8_t* in = dataset_.image(index).data();
    slot.labels[static_cast<std::size_t>(at)] = dataset_.label(index);
    if (!options_.augmentation.any()) {
      std::memcpy(out, in, image_bytes);
      continue;
    }
    const AugmentDraw draw = draw_augmentation(options_.augmentation, extents_, options_.seed,
                                               epoch_, static_cast<std::uint64_t>(index));
    apply_augmentation(options_.augmentation, extents_, draw, in, out);
  }
}

void Loader::Impl::fill_group(std::int64_t group, Slot& slot) const {
  const std::int64_t first = first_batch_of(group);
  const std::int64_t last = std::min(first + group_size_, batch_count_);
  std::int64_t at = 0;
  for (std::int64_t batch = first; batch < last; ++batch) {
    assemble(batch, slot, at);
    at += range_of(batch).count();
  }
}

void Loader::Impl::start_epoch(std::uint32_t epoch, std::int64_t first_batch, std::int64_t seen) {
  if (first_batch < 0 || first_batch > batch_count_)
    throw Error(ErrorKind::usage, "batch " + std::to_string(first_batch),
                "is not in an epoch of " + std::to_string(batch_count_));
  if (seen < 0 || seen >= step_)
    throw Error(ErrorKind::usage, "sample " + std::to_string(seen),
                "is not in a step of " + std::to_string(step_));
  if (prefetcher_) prefetcher_->stop();
  epoch_ = epoch;
  first_batch_ = next_batch_ = first_batch;
  seen_ = seen;
  started_ = true;
  if (options_.shuffle) shuffle_order(order_, options_.seed, epoch);
  if (prefetcher_)
    prefetcher_->start(0, (batch_count_ - first_batch + group_size_ - 1) / group_size_);
}

void Loader::Impl::point_into(const Slot& slot, std::int64_t at) {
  const auto image_bytes = static_cast<std::size_t>(dataset_.image_bytes());
  const auto first = static_cast<std::size_t>(at), count = static_cast<std::size_t>(batch_.count);
  batch_.images = std::span(slot.images).subspan(first * image_bytes, count * image_bytes);
  batch_.labels = std::span(slot.labels).subspan(first, count);
}

void Loader::Impl::point_into_dataset(const Range& range) {
  const auto image_bytes = static_cast<std::size_t>(dataset_.image_bytes());
  const auto first = static_cast<std::size_t>(range.first);
  const auto count = static_cast<std::size_t>(range.count());
  batch_.images = dataset_.images().subspan(first * image_bytes, count * image_bytes);
  batch_.labels = dataset_.labels().subspan(first, count);
}

const Batch* Loader::Impl::next() {
  KILN_CHECK(started_);
  if (next_batch_ >= batch_count_) return nullptr;
  const std::int64_t batch = next_batch_;
  const Range range = range_of(batch);
  const std::int64_t count_before = batch_.count;
  batch_.count = range.count();
  batch_.step_count = step_of(batch).count();
  batch_.indices = std::span<const std::int64_t>(order_).subspan(
      static_cast<std::size_t>(range.first), static_cast<std::size_t>(range.count()));
  if (direct_) {
    point_into_dataset(range);
  } else if (prefetcher_) {
    const bool new_group = (batch - first_batch_) % group_size_ == 0;
    if (new_group) slot_ = prefetcher_->take();
    in_group_ = new_group ? 0 : in_group_ + count_before;
    point_into(slots_[static_cast<std::size_t>(slot_)], in_group_);
  } else {
    const auto begin = std::chrono::steady_clock::now();
    assemble(batch, slots_[0], 0);
    waited_seconds_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    point_into(slots_[0], 0);
  }
  ++next_batch_;
  return &batch_;
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, options)) {}
Loader::~Loader() = default;
void Loader::start_epoch(std::uint32_t epoch, std::int64_t first_batch, std::int64_t seen) {
  impl_->start_epoch(epoch, first_batch, seen);
}
const Batch* Loader::next() { return impl_->next(); }
std::span<const std::int64_t> Loader::order() const { return impl_->order(); }
std::int64_t Loader::batch_count() const { return impl_->batch_count(); }
std::int64_t Loader::step_size() const { return impl_->step_size(); }
double Loader::waited_seconds() const { return impl_->waited_seconds(); }

}  // namespace kiln
