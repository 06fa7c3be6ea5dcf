// Ctrl-C and SIGTERM as something to ask about between two pieces of work, without a handler and
// without a global: the signals are blocked, and asking takes the pending one off the queue.
#pragma once

#include <atomic>
#include <csignal>
#include <ctime>

#include "apps/common/app_main.h"

namespace kiln {

class SignalWatch {
 public:
  // Blocks both signals, and `another` where it is not 0, for this thread and every thread that it
  // starts from now on. A signal that the parent made us ignore (nohup, a shell's background job)
  // stays ignored. `another` stays blocked for good: what mpirun hands on comes to every rank in
  // its own time, also to one that has stopped with the others and is on its way out.
  explicit SignalWatch(int another = 0) : another_(another) {
    ::sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, another}) {
      if (signal == 0) continue;
      struct sigaction action {};
      ::sigaction(signal, nullptr, &action);
      if (action.sa_handler != SIG_IGN) ::sigaddset(&set_, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  // A signal that nobody asked about any more, or a second one, does not end the program now that
  // its work is done.
  ~SignalWatch() {
    const timespec at_once{};
    while (::sigtimedwait(&set_, nullptr, &at_once) > 0) {
    }
    if (another_ != 0) ::sigaddset(&before_, another_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // The first signal that came, or 0. Remembers it. Any thread with the signals blocked may ask.
  int pending() {
    const timespec at_once{};
    if (signal_ != 0) return signal_;
    const int got = ::sigtimedwait(&set_, nullptr, &at_once);
    if (got > 0) signal_ = got;
    return signal_;
  }
  // For programs that leave nothing behind when they are stopped: throws Stopped where one came.
  void stop_if_asked() {
    if (const int signal = pending(); signal != 0) throw Stopped{signal};
  }

 private:
  const int another_;
  sigset_t set_{}, before_{};
  std::atomic<int> signal_ = 0;
};

}  // namespace kiln
