#include "engine/core/log.h"

namespace kiln {
namespace {

// In one piece, since other processes may write to the same file.
void put_line(std::FILE* stream, std::string_view prefix, std::string_view line) {
  const std::string text = std::string(prefix) + std::string(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stream);
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
