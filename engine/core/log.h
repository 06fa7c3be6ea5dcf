// Lines about what the program chose and did. A Log is passed, never global.
#pragma once

#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace kiln {

enum class LogLevel { quiet, info, debug };

class Log {
 public:
  // Writes to `stream`, which must outlive the Log. Every line begins with `prefix` and is flushed.
  explicit Log(std::FILE* stream = stderr, LogLevel level = LogLevel::info, std::string prefix = {})
      : stream_(stream), level_(level), prefix_(std::move(prefix)) {}

  void info(std::string_view line) { write(LogLevel::info, line); }
  void debug(std::string_view line) { write(LogLevel::debug, line); }
  // Printed at every level, prefixed with "warning: ".
  void warning(std::string_view line);
  // Printed the first time this exact line is seen: for choices made per shape.
  void once(std::string_view line);
  LogLevel level() const { return level_; }

 private:
  void write(LogLevel level, std::string_view line);

  std::FILE* stream_;
  LogLevel level_;
  std::string prefix_;
  std::mutex mutex_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace kiln
