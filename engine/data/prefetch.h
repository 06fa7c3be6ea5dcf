// Prefetcher: background threads that fill numbered slots of a ring ahead of one consumer, in
// order. It knows nothing of pictures.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kiln {

class Prefetcher {
 public:
  // fill(item, slot) runs on a worker; item i always goes to slot i % slot_count.
  using Fill = std::function<void(std::int64_t item, int slot)>;

  Prefetcher(int worker_count, int slot_count, Fill fill);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Drops what is under way, waits until no worker runs `fill`, and leaves the ring empty.
  void stop();
  // After stop(): starts on the items [first, last).
  void start(std::int64_t first, std::int64_t last);
  // Blocks until the next item is filled and returns its slot; the slot taken before goes back to
  // the workers. -1 after the last item. Rethrows what `fill` threw for that item, each time.
  int take();
  // Seconds that take() has blocked since construction.
  double waited_seconds() const { return waited_seconds_; }

 private:
  enum class SlotState { free, filling, ready, failed };
  struct Slot {
    SlotState state = SlotState::free;
    std::exception_ptr failure;
  };

  void work();
  bool work_waits() const;
  Slot& slot_of(std::int64_t item) { return slots_[slot_number(item)]; }
  std::size_t slot_number(std::int64_t item) const {
    return static_cast<std::size_t>(item % static_cast<std::int64_t>(slots_.size()));
  }

  Fill fill_;
  std::mutex mutex_;
  std::condition_variable wake_worker_;
  std::condition_variable wake_consumer_;
  std::vector<Slot> slots_;
  std::int64_t next_fill_ = 0;  // first item that no worker has begun
  std::int64_t next_take_ = 0;
  std::int64_t end_ = 0;
  std::int64_t taken_ = -1;  // the item whose slot the consumer holds
  int busy_count_ = 0;
  bool leaving_ = false;
  double waited_seconds_ = 0.0;
  std::vector<std::thread> workers_;
};

}  // namespace kiln
