// The signals that steer a server, as events of one thread. They are blocked before any other
// thread exists, so no thread is ever interrupted; a program that is process 1 of a container would
// otherwise ignore SIGTERM.
#pragma once

#include <chrono>
#include <csignal>

namespace kiln {

class ControlSignals {
 public:
  ControlSignals();
  ControlSignals(const ControlSignals&) = delete;
  ControlSignals& operator=(const ControlSignals&) = delete;

  // The next signal, or 0 when `time` has passed.
  int wait_for(std::chrono::milliseconds time);
  // Wakes the waiting thread from another one: wait_for() returns SIGUSR1.
  static void wake();

 private:
  sigset_t set_{};
};

}  // namespace kiln
