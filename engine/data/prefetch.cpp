#include "engine/data/prefetch.h"

#include <chrono>

#include "engine/core/check.h"

namespace kiln {

Prefetcher::Prefetcher(int worker_count, int slot_count, Fill fill)
    : fill_(std::move(fill)), slots_(static_cast<std::size_t>(slot_count)) {
  KILN_CHECK(worker_count >= 1 && slot_count >= 2);
  workers_.reserve(static_cast<std::size_t>(worker_count));
  for (int i = 0; i < worker_count; ++i) workers_.emplace_back([this] { work(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  wake_worker_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Prefetcher::stop() {
  std::unique_lock lock(mutex_);
  end_ = next_fill_;  // nothing new begins
  wake_consumer_.wait(lock, [this] { return busy_count_ == 0; });
  for (Slot& slot : slots_) slot = {};
  taken_ = -1;
  next_fill_ = next_take_ = end_ = 0;
}

void Prefetcher::start(std::int64_t first, std::int64_t last) {
  {
    const std::lock_guard lock(mutex_);
    next_fill_ = next_take_ = first;
    end_ = last;
  }
  wake_worker_.notify_all();
}

int Prefetcher::take() {
  std::unique_lock lock(mutex_);
  if (taken_ >= 0) {
    slot_of(taken_) = {};
    taken_ = -1;
    wake_worker_.notify_one();
  }
  if (next_take_ >= end_) return -1;
  Slot& slot = slot_of(next_take_);
  const auto filled = [&slot] {
    return slot.state == SlotState::ready || slot.state == SlotState::failed;
  };
  if (!filled()) {
    const auto begin = std::chrono::steady_clock::now();
    wake_consumer_.wait(lock, filled);
    waited_seconds_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  if (slot.state == SlotState::failed) std::rethrow_exception(slot.failure);
  taken_ = next_take_++;
  return static_cast<int>(slot_number(taken_));
}

bool Prefetcher::work_waits() const {
  return next_fill_ < end_ && slots_[slot_number(next_fill_)].state == SlotState::free;
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_worker_.wait(lock, [this] { return leaving_ || work_waits(); });
    if (leaving_) return;
    const std::int64_t item = next_fill_++;
    Slot& slot = slot_of(item);
    slot.state = SlotState::filling;
    ++busy_count_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      fill_(item, static_cast<int>(slot_number(item)));
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --busy_count_;
    slot.state = failure ? SlotState::failed : SlotState::ready;
    slot.failure = failure;
    // One consumer exists: it waits in take() or in stop().
    wake_consumer_.notify_one();
  }
}

}  // namespace kiln
