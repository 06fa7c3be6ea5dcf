// How a job tells the platform that it went well, or why it did not.
#pragma once

#include <string_view>

#include "apps/sagemaker-train/container.h"

namespace kiln::sagemaker {

// /opt/ml/output/failure: the cause first, at most 1,024 bytes, which is what FailureReason shows.
// A file that is there already, the user's own, stays. Throws Error (io).
void write_failure(const ContainerPaths& paths, std::string_view cause, int exit_code);

// /opt/ml/output/success, empty. Throws Error (io).
void write_success(const ContainerPaths& paths);

}  // namespace kiln::sagemaker
