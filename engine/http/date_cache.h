// The field Date, made four times a second at most and so a quarter of a second late at most.
#pragma once

#include <chrono>
#include <string>

#include "engine/http/http_parser.h"

namespace kiln::http {

class DateCache {
 public:
  using Clock = std::chrono::steady_clock;

  const std::string& at(Clock::time_point now) {
    if (now >= next_) {
      text_ = http_date(std::chrono::system_clock::now());
      next_ = now + std::chrono::milliseconds(250);
    }
    return text_;
  }

 private:
  std::string text_;
  Clock::time_point next_ = Clock::time_point::min();
};

}  // namespace kiln::http
