// What a job leaves beside its model: how it ended, and what a restarted job needs.
#pragma once

#include <string>
#include <string_view>

#include "apps/sagemaker-train/container.h"
#include "apps/train/flags.h"

namespace kiln::sagemaker {

// /opt/ml/output/failure: the cause first, at most 1,024 bytes, which is what FailureReason shows.
// A file that is there already, the user's own, stays. Throws Error (io).
void write_failure(const ContainerPaths& paths, std::string_view cause, int exit_code);

// /opt/ml/output/success, empty. Throws Error (io).
void write_success(const ContainerPaths& paths);

inline constexpr const char* kTorchModelFile = "model.pth";
inline constexpr const char* kTorchCheckpointFile = "checkpoint.pth";
// What another program left under that name.
inline constexpr const char* kForeignCheckpoint = "checkpoint.before.pth";

// Of several hosts the leader and the ranks on it share a folder, which this variable names. What a
// rank tells there is written at once: another rank's death leaves it less time than a disk may
// take to sync the failure file.
inline constexpr const char* kLeaderFolder = "KILN_LEADER_FOLDER";
inline constexpr const char* kStartedFile = "started";  // all ranks have begun
inline constexpr const char* kCauseFile = "cause";      // why a rank fails
// Does nothing where there is no such folder.
void tell_leader(const char* file, std::string_view text) noexcept;

// The files of a job beside those of the run. Every function throws Error (io).
class JobFiles {
 public:
  // `flags`: the run's network and its folders, which a job may choose itself.
  // `torch_checkpoints`: write checkpoint.pth, unless the optimizer has groups, for which PyTorch
  // has no class.
  JobFiles(ContainerPaths paths, const TrainFlags& flags, bool torch_checkpoints);

  // A spot instance that is taken away loses /opt/ml/output; /opt/ml/checkpoints comes back. So the
  // metrics lie there too, no older than the checkpoint, and a restarted job begins with them.
  void restore_metrics() const;
  // A checkpoint.pth of PyTorch's own script would be written over: it gets another name. Returns a
  // line for the log, empty where there is none.
  std::string set_foreign_checkpoint_aside() const;
  // Writes the failure file.
  void failed(std::string_view cause) const;
  void before_checkpoint() const;
  // PyTorch's files are as the workshop has them: names with "module." in front.
  void after_checkpoint(const Path& checkpoint, std::int64_t class_count) const;
  void model_saved() const;

 private:
  const ContainerPaths paths_;
  const Path model_dir_, output_dir_, checkpoint_, checkpoints_;
  const std::string model_;
  const bool torch_checkpoints_;
};

}  // namespace kiln::sagemaker
