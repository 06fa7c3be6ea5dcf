// ThreadPool: the only threads that kernels run on.
//
// `parallel_for(chunk_count, body)` calls body(chunk) for every chunk in [0, chunk_count), each
// exactly once, and returns when all are done. Thread t begins with the contiguous range
// [t*count/T, (t+1)*count/T), the caller being thread 0; a thread that has finished its own range
// takes chunks that others have not begun. So a thread that the system keeps from running delays
// only the chunk it is in, and a job never waits for a sleeping worker. What a chunk computes must
// depend on its number alone; then a result depends on the chunk count and never on the timing.
//
// Workers spin for a few microseconds after a job, because the next one usually follows at once,
// and then sleep. A body must not throw and must not call parallel_for again.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace kiln {

class ThreadPool {
 public:
  // `thread_count` >= 1 threads, the caller included.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int thread_count() const { return thread_count_; }

  // body: void(std::int64_t chunk). Taken by reference; nothing is allocated.
  template <class Body>
  void parallel_for(std::int64_t chunk_count, const Body& body) {
    const auto call = [](const void* context, std::int64_t chunk, int) {
      (*static_cast<const Body*>(context))(chunk);
    };
    run(chunk_count, call, &body);
  }
  // body: void(std::int64_t chunk, int thread). `thread` selects scratch memory, never a result.
  template <class Body>
  void parallel_for_threads(std::int64_t chunk_count, const Body& body) {
    const auto call = [](const void* context, std::int64_t chunk, int thread) {
      (*static_cast<const Body*>(context))(chunk, thread);
    };
    run(chunk_count, call, &body);
  }

  // CPUs that this process may run on (the affinity mask and the cgroup's quota), at least 1.
  static int available_cpu_count();

 private:
  using Call = void (*)(const void* context, std::int64_t chunk, int thread);
  struct State;

  void run(std::int64_t chunk_count, Call call, const void* context);
  void run_job(std::int64_t first, std::int64_t chunk_count, Call call, const void* context);
  void work(int thread);

  int thread_count_;
  std::unique_ptr<State> state_;
};

}  // namespace kiln
