// The thread that loads models: all of them first, then what changes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/serve/model_keeper.h"

namespace kiln {

class KeeperThread {
 public:
  // `loaded` is called on this thread once all models are loaded, or with what the first bad one
  // threw. `watch`: how often to look for changes; 0: only when asked.
  KeeperThread(serve::ModelKeeper& keeper, std::chrono::milliseconds watch,
               std::function<void(std::exception_ptr)> loaded);
  KeeperThread(const KeeperThread&) = delete;
  KeeperThread& operator=(const KeeperThread&) = delete;
  // Waits for the model that is being loaded.
  ~KeeperThread();

  // Looks at once. From any thread.
  void look();

 private:
  void run();
  bool stopping() const;

  serve::ModelKeeper& keeper_;
  const std::chrono::milliseconds watch_;
  const std::function<void(std::exception_ptr)> loaded_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false, asked_ = false;
  std::thread thread_;
};

}  // namespace kiln
