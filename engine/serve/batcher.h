// Batcher: requests of one model wait here until a thread is free to compute them together.
//
//   a request is     one or more pictures, answered whole
//   the queue is     bounded in pictures; what does not fit is refused at once
//   a batch is       what waits when a thread becomes free, up to its largest: nobody waits for a
//                    batch to fill unless max_delay says so
//   a deadline is    kept by a clock of its own: a request that is too late is refused on time,
//   also
//                    while every thread computes
//   inline           a few pictures that find nothing waiting may be computed by their caller; that
//                    saves two changes of thread, which cost more than a small network does
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/payload/pictures.h"
#include "engine/serve/metrics.h"

namespace kiln::serve {

using Clock = std::chrono::steady_clock;

// Computes batches; used by one thread at a time.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::int64_t max_batch() const = 0;
  // Pictures [first, first + count) of `pictures` become rows [row, row + count) of the batch.
  virtual void load(std::int64_t row, const payload::Pictures& pictures, std::int64_t first,
                    std::int64_t count) = 0;
  // Computes the rows [0, count). An exception fails every request that has a row in the batch.
  virtual void run(std::int64_t count) = 0;
  // Numbers of one row, and those of the last run: [count, output_size].
  virtual std::int64_t output_size() const = 0;
  virtual std::span<const float> outputs(std::int64_t row, std::int64_t count) const = 0;
};

enum class Refused {
  late,      // the deadline passed
  failed,    // the executor threw
  full,      // too much waits: not by the batcher, whose submit() tells its caller
  stopping,  // no batcher takes it any more: nor this
};

// Who waits for a result. Exactly one of answer() and refuse() is called, once, from any thread,
// never while the batcher holds a lock. A waiter that is cancelled before its pictures are computed
// is dropped without a call.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual bool cancelled() const = 0;
  virtual void answer(std::span<const float> outputs) = 0;  // [pictures, output_size]
  virtual void refuse(Refused why) = 0;
};

struct Work {
  payload::Pictures pictures;
  Clock::time_point deadline;
  std::unique_ptr<Waiter> waiter;
};

struct BatcherOptions {
  std::int64_t queue_pictures = 256;  // a request larger than this is taken when nothing waits
  std::chrono::microseconds max_delay{0};
  std::int64_t inline_pictures = 1;  // most that try_inline takes
  std::int64_t inline_batch = 1;     // of which so many at a time; at most the executor's max_batch
};

// Kept by the server, so that a reload does not set them back. Batchers of one model share them.
struct BatcherMetrics {
  explicit BatcherMetrics(std::int64_t max_batch)
      : batch_pictures(batch_bounds(max_batch)),
        queue_seconds(latency_bounds()),
        compute_seconds(latency_bounds()) {}
  Histogram batch_pictures;
  Histogram queue_seconds;    // of a request, from submit() to its first picture's batch
  Histogram compute_seconds;  // of a batch
  Counter pictures, full, late, cancelled, failed;
};

enum class Admission { taken, full, stopping };

class Batcher {
 public:
  // One thread for each of `executors`. `inline_executor` may be empty. `on_failure` hears what()
  // of an executor's exception, from any thread. `metrics` must outlive the batcher.
  Batcher(const BatcherOptions& options, std::vector<std::unique_ptr<Executor>> executors,
          std::unique_ptr<Executor> inline_executor, BatcherMetrics& metrics,
          std::function<void(std::string_view)> on_failure);
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;
  // stop().
  ~Batcher();

  // `work` is left as it is unless it was taken; its pictures are its own, not lent. From any
  // thread.
  Admission submit(Work&& work);
  // Computes `works` on the calling thread and tells their waiters. False, with `works` as they
  // were, where they are more pictures than it takes, something waits, or another thread is at it.
  bool try_inline(std::span<Work> works);
  // Takes nothing more, finishes what waits, and returns when all of it is answered or refused. To
  // be called by one thread at a time, never by a waiter.
  void stop();

  std::int64_t waiting_pictures() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln::serve
