// Threads for work that may take longer than a loop may wait: decoding of large bodies.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kiln::serve {

class Workers {
 public:
  // At most `waiting_count` pieces of work wait.
  Workers(int thread_count, std::size_t waiting_count);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  // Finishes what waits.
  ~Workers();

  // False where too much waits already. `work` must not throw. From any thread.
  bool add(std::function<void()> work);

 private:
  void run();
  void stop();

  const std::size_t waiting_count_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kiln::serve
