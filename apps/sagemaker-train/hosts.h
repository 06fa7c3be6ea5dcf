// A job of several hosts. Every host runs this same program: the first of the job's hosts leads, it
// starts the ranks of all by mpirun; the others start an sshd, through which their ranks come, and
// wait for the job's end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "apps/common/signals.h"
#include "apps/sagemaker-train/container.h"
#include "apps/sagemaker-train/plan.h"

namespace kiln::sagemaker {

// How long hosts wait for each other before the job starts: $KILN_HOST_TIMEOUT in seconds, else the
// hour of SageMaker's own containers. Throws Error (usage).
std::chrono::seconds host_timeout();

// One host's part of a job, from its start to the end of the job. Returns the exit code of
// run_training(); 0 too where the job was stopped before it began. Throws Error naming the host
// that did not come or has died, or with the cause that the leader tells.
int run_host(const Plan& plan, const Resources& resources, const ContainerPaths& paths,
             const std::vector<std::string>& command_line, SignalWatch& signals);

}  // namespace kiln::sagemaker
