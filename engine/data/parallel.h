// parallel_try: ThreadPool::parallel_for for bodies that throw.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>

#include "engine/core/thread_pool.h"

namespace kiln {

// Calls body(chunk, thread) for the chunks in [0, chunk_count). After a chunk throws, chunks after
// it are skipped; what the lowest failed chunk threw is rethrown, so a message does not depend on
// the threads. (Chunks below it that lie in another thread's range still run.)
template <class Body>
void parallel_try(ThreadPool& pool, std::int64_t chunk_count, const Body& body) {
  std::mutex mutex;
  std::exception_ptr failure;
  std::int64_t failed = chunk_count;
  const auto stopped_before = [&](std::int64_t chunk) {
    const std::lock_guard lock(mutex);
    return failed < chunk;
  };
  pool.parallel_for_threads(chunk_count, [&](std::int64_t chunk, int thread) {
    if (stopped_before(chunk)) return;
    try {
      body(chunk, thread);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (chunk < failed) {
        failed = chunk;
        failure = std::current_exception();
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace kiln
