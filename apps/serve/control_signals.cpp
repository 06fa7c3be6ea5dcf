#include "apps/serve/control_signals.h"

#include <algorithm>
#include <ctime>
#include <unistd.h>

namespace kiln {

ControlSignals::ControlSignals() {
  ::sigemptyset(&set_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) ::sigaddset(&set_, signal);
  ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  // A client that goes while it is written to is a failed write, no more.
  std::signal(SIGPIPE, SIG_IGN);
}

int ControlSignals::wait_for(std::chrono::milliseconds time) {
  const auto count = std::max<std::int64_t>(time.count(), 0);
  const timespec left{count / 1000, count % 1000 * 1'000'000};
  return std::max(::sigtimedwait(&set_, nullptr, &left), 0);
}

void ControlSignals::wake() { ::kill(::getpid(), SIGUSR1); }

}  // namespace kiln
