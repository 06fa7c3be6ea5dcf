// What a job leaves beside its model: how it ended, and what a restarted job needs.
#pragma once

#include <string_view>

#include "apps/sagemaker-train/container.h"

namespace kiln::sagemaker {

// /opt/ml/output/failure: the cause first, at most 1,024 bytes, which is what FailureReason shows.
// A file that is there already, the user's own, stays. Throws Error (io).
void write_failure(const ContainerPaths& paths, std::string_view cause, int exit_code);

// /opt/ml/output/success, empty. Throws Error (io).
void write_success(const ContainerPaths& paths);

// A spot instance that is taken away loses /opt/ml/output; /opt/ml/checkpoints comes back. So the
// metrics lie there too, as old as the checkpoint or newer, and a restarted job begins with them.
// Throws Error (io).
void keep_metrics(const ContainerPaths& paths);
void restore_metrics(const ContainerPaths& paths);

}  // namespace kiln::sagemaker
