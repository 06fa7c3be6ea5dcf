#include "engine/serve/batcher.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "engine/core/check.h"

namespace kiln::serve {
namespace {

struct Request;
using Requests = std::multimap<Clock::time_point, std::shared_ptr<Request>>;

// A request that was taken. The batcher's mutex guards all but `outputs`, where threads write rows
// of their own.
struct Request {
  Request(Work&& taken, Clock::time_point now)
      : work(std::move(taken)), count(work.pictures.count), arrived(now), left(count) {}

  Work work;
  std::int64_t count;
  Clock::time_point arrived;
  std::int64_t next = 0;       // pictures that batches have taken
  std::int64_t left;           // pictures that are not computed yet
  bool closed = false;         // answered, refused or dropped
  std::vector<float> outputs;  // of a request that several batches share
  Requests::iterator place;    // among the live ones
};

// Pictures of a request within a batch.
struct Slice {
  std::shared_ptr<Request> request;
  std::int64_t first = 0, count = 0;
};

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

class Batcher::Impl {
 public:
  Impl(const BatcherOptions& options, std::vector<std::unique_ptr<Executor>> executors,
       std::unique_ptr<Executor> inline_executor, BatcherMetrics& metrics,
       std::function<void(std::string_view)> on_failure)
      : options_(options),
        executors_(std::move(executors)),
        inline_(std::move(inline_executor)),
        metrics_(metrics),
        on_failure_(std::move(on_failure)) {
    KILN_CHECK(!executors_.empty());
    KILN_CHECK(!inline_ ||
               (options_.inline_batch >= 1 && options_.inline_batch <= inline_->max_batch()));
    try {
      timer_ = std::thread([this] { run_timer(); });
      for (const auto& executor : executors_)
        threads_.emplace_back([this, &executor] { run_executor(*executor); });
    } catch (...) {  // the system has no thread left
      stop();
      throw;
    }
  }

  Admission submit(Work&& work) {
    const std::lock_guard lock(mutex_);
    const std::int64_t count = work.pictures.count;
    KILN_CHECK(count > 0 && work.waiter != nullptr && work.pictures.lent.empty());
    if (stopping_) return Admission::stopping;
    if (waiting_ > 0 && waiting_ + count > options_.queue_pictures) {
      metrics_.full.add();
      return Admission::full;
    }
    enqueue(std::move(work));
    return Admission::taken;
  }

  bool try_inline(std::span<Work> works) {
    if (!inline_ || works.empty()) return false;
    std::int64_t pictures = 0;
    for (const Work& work : works) pictures += work.pictures.count;
    if (pictures > options_.inline_pictures) return false;
    const std::unique_lock one_at_a_time(inline_mutex_, std::try_to_lock);
    if (!one_at_a_time.owns_lock()) return false;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || !queue_.empty()) return false;
    }
    while (!works.empty()) {
      const std::size_t count = inline_count(works);
      compute_inline(works.first(count));
      works = works.subspan(count);
    }
    return true;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    ready_.notify_all();
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
    {
      const std::lock_guard lock(mutex_);
      stop_timer_ = true;
    }
    timer_ready_.notify_all();
    if (timer_.joinable()) timer_.join();
  }

  std::int64_t waiting_pictures() const {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  void enqueue(Work&& work) {
    auto request = std::make_shared<Request>(std::move(work), Clock::now());
    request->place = live_.emplace(request->work.deadline, request);
    waiting_ += request->count;
    queue_.push_back(request);
    ready_.notify_one();
    if (request->place == live_.begin()) timer_ready_.notify_one();
  }

  // Under the lock, once for each request: it is nobody's any more but the caller's.
  void close(Request& request) {
    request.closed = true;
    live_.erase(request.place);
    if (request.next == request.count) return;
    waiting_ -= request.count - request.next;
    std::erase_if(queue_, [&](const auto& queued) { return queued.get() == &request; });
  }

  // How many of `works` make the next inline batch; a large one is computed in pieces.
  std::size_t inline_count(std::span<const Work> works) const {
    std::size_t count = 1;
    std::int64_t pictures = works[0].pictures.count;
    while (count < works.size() && pictures + works[count].pictures.count <= options_.inline_batch)
      pictures += works[count++].pictures.count;
    return count;
  }

  void compute_inline(std::span<const Work> works) {
    if (works.size() == 1 && works[0].pictures.count > options_.inline_batch)
      return compute_in_pieces(works[0]);
    const Clock::time_point begin = Clock::now();
    std::int64_t rows = 0;
    const auto fault = attempt([&] {
      for (const Work& work : works) {
        inline_->load(rows, work.pictures, 0, work.pictures.count);
        rows += work.pictures.count;
      }
      inline_->run(rows);
    });
    if (!fault) count_batch(rows, begin);
    std::int64_t row = 0;
    for (const Work& work : works) {
      finish_inline(work,
                    fault ? std::span<const float>{} : inline_->outputs(row, work.pictures.count));
      row += work.pictures.count;
    }
  }

  void compute_in_pieces(const Work& work) {
    std::vector<float> outputs;
    for (std::int64_t first = 0; first < work.pictures.count;) {
      const std::int64_t count = std::min(options_.inline_batch, work.pictures.count - first);
      const Clock::time_point begin = Clock::now();
      const auto fault = attempt([&] {
        inline_->load(0, work.pictures, first, count);
        inline_->run(count);
      });
      if (fault) return finish_inline(work, {});
      count_batch(count, begin);
      const std::span<const float> rows = inline_->outputs(0, count);
      outputs.insert(outputs.end(), rows.begin(), rows.end());
      first += count;
    }
    finish_inline(work, outputs);
  }

  // `outputs`: empty where its batch failed.
  void finish_inline(const Work& work, std::span<const float> outputs) {
    if (outputs.empty()) {
      metrics_.failed.add();
      return work.waiter->refuse(Refused::failed);
    }
    metrics_.queue_seconds.observe(0.0);
    work.waiter->answer(outputs);
  }

  void run_executor(Executor& executor) {
    std::vector<Slice> batch;
    while (take(executor, batch)) {
      compute(executor, batch);
      batch.clear();
    }
  }

  // Waits for work; false when there will be none.
  bool take(const Executor& executor, std::vector<Slice>& batch) {
    std::unique_lock lock(mutex_);
    for (;;) {
      ready_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return false;
      if (may_still_fill(executor.max_batch())) {
        ready_.wait_until(lock, queue_.front()->arrived + options_.max_delay);
        continue;
      }
      gather(executor, batch);
      if (!queue_.empty()) ready_.notify_one();
      if (!batch.empty()) return true;
    }
  }

  bool may_still_fill(std::int64_t max_batch) const {
    return !stopping_ && options_.max_delay.count() > 0 && waiting_ < max_batch &&
           Clock::now() < queue_.front()->arrived + options_.max_delay;
  }

  void gather(const Executor& executor, std::vector<Slice>& batch) {
    std::int64_t room = executor.max_batch();
    while (room > 0 && !queue_.empty()) {
      const std::shared_ptr<Request> request = queue_.front();
      if (request->work.waiter->cancelled()) {
        metrics_.cancelled.add();
        close(*request);
        continue;
      }
      const std::int64_t count = std::min(room, request->count - request->next);
      if (count < request->count && request->outputs.empty())
        request->outputs.resize(static_cast<std::size_t>(request->count * executor.output_size()));
      batch.push_back({request, request->next, count});
      request->next += count;
      waiting_ -= count;
      room -= count;
      if (request->next == request->count) queue_.pop_front();
    }
  }

  void compute(Executor& executor, const std::vector<Slice>& batch) {
    const Clock::time_point begin = Clock::now();
    std::int64_t rows = 0;
    const auto fault = attempt([&] {
      for (const Slice& slice : batch) {
        const Request& request = *slice.request;
        if (slice.first == 0)
          metrics_.queue_seconds.observe(seconds_between(request.arrived, begin));
        executor.load(rows, request.work.pictures, slice.first, slice.count);
        rows += slice.count;
      }
      executor.run(rows);
    });
    if (!fault) count_batch(rows, begin);
    std::int64_t row = 0;
    for (const Slice& slice : batch) {
      finish(slice, fault ? std::span<const float>{} : executor.outputs(row, slice.count));
      row += slice.count;
    }
  }

  // What the function threw, told to whoever listens.
  template <class Function>
  std::optional<std::string> attempt(const Function& function) {
    std::optional<std::string> fault;
    try {
      function();
    } catch (const std::exception& error) {
      fault = error.what();
    } catch (...) {
      fault = "something that is no exception was thrown";
    }
    if (fault) on_failure_(*fault);
    return fault;
  }

  void count_batch(std::int64_t rows, Clock::time_point begin) {
    metrics_.compute_seconds.observe(seconds_between(begin, Clock::now()));
    metrics_.batch_pictures.observe(static_cast<double>(rows));
    metrics_.pictures.add(static_cast<std::uint64_t>(rows));
  }

  // `outputs`: of the slice; empty where the batch failed.
  void finish(const Slice& slice, std::span<const float> outputs) {
    Request& request = *slice.request;
    const bool failed = outputs.empty(), whole = slice.count == request.count;
    if (!failed && !whole) {
      const std::size_t row_size = outputs.size() / static_cast<std::size_t>(slice.count);
      std::copy(outputs.begin(), outputs.end(),
                request.outputs.begin() +
                    static_cast<std::ptrdiff_t>(static_cast<std::size_t>(slice.first) * row_size));
    }
    {
      const std::lock_guard lock(mutex_);
      if (request.closed) return;
      request.left -= slice.count;
      if (!failed && request.left > 0) return;
      close(request);
    }
    if (failed) {
      metrics_.failed.add();
      return request.work.waiter->refuse(Refused::failed);
    }
    request.work.waiter->answer(whole ? outputs : std::span<const float>(request.outputs));
  }

  // Refuses on time what has not been answered by its deadline.
  void run_timer() {
    std::unique_lock lock(mutex_);
    while (!stop_timer_) {
      if (live_.empty()) {
        timer_ready_.wait(lock);
        continue;
      }
      const Clock::time_point next = live_.begin()->first;
      if (Clock::now() < next) {
        timer_ready_.wait_until(lock, next);
        continue;
      }
      const std::shared_ptr<Request> late = live_.begin()->second;
      close(*late);
      lock.unlock();
      metrics_.late.add();
      late->work.waiter->refuse(Refused::late);
      lock.lock();
    }
  }

  const BatcherOptions options_;
  const std::vector<std::unique_ptr<Executor>> executors_;
  const std::unique_ptr<Executor> inline_;
  BatcherMetrics& metrics_;
  const std::function<void(std::string_view)> on_failure_;

  std::mutex inline_mutex_;  // who computes inline; taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable ready_, timer_ready_;
  std::deque<std::shared_ptr<Request>> queue_;  // with pictures that no batch has taken
  Requests live_;                               // neither answered nor refused, by deadline
  std::int64_t waiting_ = 0;                    // pictures in the queue
  bool stopping_ = false, stop_timer_ = false;

  std::thread timer_;
  std::vector<std::thread> threads_;
};

Batcher::Batcher(const BatcherOptions& options, std::vector<std::unique_ptr<Executor>> executors,
                 std::unique_ptr<Executor> inline_executor, BatcherMetrics& metrics,
                 std::function<void(std::string_view)> on_failure)
    : impl_(std::make_unique<Impl>(options, std::move(executors), std::move(inline_executor),
                                   metrics, std::move(on_failure))) {}

Batcher::~Batcher() { impl_->stop(); }
Admission Batcher::submit(Work&& work) { return impl_->submit(std::move(work)); }
bool Batcher::try_inline(std::span<Work> works) { return impl_->try_inline(works); }
void Batcher::stop() { impl_->stop(); }
std::int64_t Batcher::waiting_pictures() const { return impl_->waiting_pictures(); }

}  // namespace kiln::serve
