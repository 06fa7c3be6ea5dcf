#include "apps/sagemaker-train/outcome.h"

#include <string>

namespace kiln::sagemaker {
namespace {

constexpr std::size_t kMaxFailureBytes = 1024;

// Cut between two characters of UTF-8.
std::string cut(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  text.resize(limit);
  return text;
}

}  // namespace

void write_failure(const ContainerPaths& paths, std::string_view cause, int exit_code) {
  const Path file = paths.output() / "failure";
  if (std::filesystem::exists(file)) return;
  make_directories(paths.output());
  const std::string tail = "\nExitCode " + std::to_string(exit_code) + "\n";
  write_file_atomic(file, cut(std::string(cause), kMaxFailureBytes - tail.size()) + tail);
}

void write_success(const ContainerPaths& paths) {
  make_directories(paths.output());
  write_file_atomic(paths.output() / "success", std::string_view());
}

}  // namespace kiln::sagemaker
