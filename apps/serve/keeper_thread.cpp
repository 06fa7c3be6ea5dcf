#include "apps/serve/keeper_thread.h"

#include <utility>

namespace kiln {

KeeperThread::KeeperThread(serve::ModelKeeper& keeper, std::chrono::milliseconds watch,
                           std::function<void(std::exception_ptr)> loaded)
    : keeper_(keeper), watch_(watch), loaded_(std::move(loaded)), thread_([this] { run(); }) {}

KeeperThread::~KeeperThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void KeeperThread::look() {
  {
    const std::lock_guard lock(mutex_);
    asked_ = true;
  }
  changed_.notify_all();
}

bool KeeperThread::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void KeeperThread::run() {
  try {
    keeper_.load_all([this] { return !stopping(); });
  } catch (...) {
    return loaded_(std::current_exception());
  }
  loaded_(nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto wanted = [this] { return stopping_ || asked_; };
    if (watch_.count() > 0)
      changed_.wait_for(lock, watch_, wanted);
    else
      changed_.wait(lock, wanted);
    if (stopping_) return;
    const auto how = std::exchange(asked_, false) ? serve::ModelKeeper::Look::at_once
                                                  : serve::ModelKeeper::Look::patient;
    lock.unlock();
    keeper_.look(how);
    lock.lock();
  }
}

}  // namespace kiln
