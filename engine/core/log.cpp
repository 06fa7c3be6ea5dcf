#include "engine/core/log.h"

namespace kiln {
namespace {

void put_line(std::FILE* stream, std::string_view prefix, std::string_view line) {
  std::fwrite(prefix.data(), 1, prefix.size(), stream);
  std::fwrite(line.data(), 1, line.size(), stream);
  std::fputc('\n', stream);
  std::fflush(stream);
}

}  // namespace

void Log::write(LogLevel level, std::string_view line) {
  if (level > level_) return;
  const std::lock_guard lock(mutex_);
  put_line(stream_, prefix_, line);
}

void Log::warning(std::string_view line) {
  const std::lock_guard lock(mutex_);
  put_line(stream_, prefix_ + "warning: ", line);
}

void Log::once(std::string_view line) {
  if (LogLevel::info > level_) return;
  const std::lock_guard lock(mutex_);
  if (seen_.emplace(line).second) put_line(stream_, prefix_, line);
}

}  // namespace kiln
