#include "apps/sagemaker-train/outcome.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "apps/convert/convert.h"
#include "engine/core/error.h"

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

void tell_leader(const char* file, std::string_view text) noexcept {
  const char* folder = std::getenv(kLeaderFolder);
  if (folder == nullptr) return;
  char path[512];
  std::snprintf(path, sizeof path, "%s/%s", folder, file);
  std::FILE* out = std::fopen(path, "we");
  if (out == nullptr) return;  // a rank on another host
  std::fwrite(text.data(), 1, text.size(), out);
  std::fclose(out);
}

JobFiles::JobFiles(ContainerPaths paths, const TrainFlags& flags, bool torch_checkpoints)
    : paths_(std::move(paths)),
      model_dir_(flags.model_dir),
      output_dir_(flags.output_dir.empty() ? flags.model_dir : flags.output_dir),
      checkpoint_(checkpoint_file(flags)),
      checkpoints_(checkpoint_folder(flags)),
      model_(flags.model),
      torch_checkpoints_(torch_checkpoints && flags.groups.empty()) {}

std::string JobFiles::set_foreign_checkpoint_aside() const {
  const Path file = checkpoints_ / kTorchCheckpointFile, kept = checkpoints_ / kForeignCheckpoint;
  if (!torch_checkpoints_ || !std::filesystem::exists(file) || std::filesystem::exists(checkpoint_))
    return {};
  std::error_code error;
  std::filesystem::rename(file, kept, error);
  if (error) throw Error(ErrorKind::io, file.string(), "cannot be renamed: " + error.message());
  return file.string() +
         " has no checkpoint.safetensors beside it, which alone a run goes on "
         "from: this one begins anew, and keeps the file as " +
         kept.string();
}

void JobFiles::restore_metrics() const {
  const Path own = output_dir_ / kMetricsFile;
  make_directories(output_dir_);
  if (!std::filesystem::exists(own)) copy_whole(checkpoints_ / kMetricsFile, own);
}

void JobFiles::failed(std::string_view cause) const { write_failure(paths_, cause, 1); }

void JobFiles::before_checkpoint() const {
  copy_whole(output_dir_ / kMetricsFile, checkpoints_ / kMetricsFile);
}

void JobFiles::after_checkpoint(const Path& checkpoint, std::int64_t class_count) const {
  if (!torch_checkpoints_) return;
  convert_to_torch({.source = checkpoint,
                    .target = checkpoint.parent_path() / kTorchCheckpointFile,
                    .model = model_,
                    .class_count = class_count,
                    .module_prefix = true});
}

void JobFiles::model_saved() const {
  convert_to_torch(
      {.source = model_dir_, .target = model_dir_ / kTorchModelFile, .module_prefix = true});
}

}  // namespace kiln::sagemaker
