#include "apps/sagemaker-train/outcome.h"

#include <string>

namespace kiln::sagemaker {
namespace {

constexpr std::size_t kMaxFailureBytes = 1024;
constexpr std::uint64_t kMaxMetricsBytes = std::uint64_t{1} << 30;
constexpr const char* kMetricsFile = "metrics.jsonl";

// Cut between two characters of UTF-8.
std::string cut(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  text.resize(limit);
  return text;
}

void copy_whole(const Path& from, const Path& to) {
  if (!std::filesystem::exists(from)) return;
  write_file_atomic(to, std::string_view(read_text_file(from, kMaxMetricsBytes)));
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

void keep_metrics(const ContainerPaths& paths) {
  copy_whole(paths.output_data() / kMetricsFile, paths.checkpoints() / kMetricsFile);
}

void restore_metrics(const ContainerPaths& paths) {
  const Path own = paths.output_data() / kMetricsFile;
  if (!std::filesystem::exists(own)) copy_whole(paths.checkpoints() / kMetricsFile, own);
}

}  // namespace kiln::sagemaker
