#include "apps/data/progress.h"

#include <cstdio>
#include <unistd.h>

namespace kiln {

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void ProgressLine::show(std::int64_t done, std::int64_t total) {
  using namespace std::chrono_literals;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || total <= 0 || (done < total && now - last_ < 50ms)) return;
  last_ = now;
  shown_ = true;
  constexpr int kBar = 30;
  const auto filled = static_cast<int>(kBar * done / total);
  std::fprintf(stderr, "\r%s [%.*s%*s] %lld of %lld", what_.c_str(), filled,
               "##############################", kBar - filled, "", static_cast<long long>(done),
               static_cast<long long>(total));
  std::fflush(stderr);
}

}  // namespace kiln
