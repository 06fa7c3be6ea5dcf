// The variables SM_* that scripts of SageMaker's training toolkit find in their environment. The
// platform sets none of them: a container derives them from the job's files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/sagemaker-train/job.h"

namespace kiln::sagemaker {

// What this machine has.
struct Machine {
  int cpu_count = 1, gpu_count = 0, neuron_count = 0;
  std::string region = {};  // where it stands; a job may say so too
};
// Asks the system: the CPUs that the process may use, the devices of NVIDIA's and AWS's drivers,
// the variables SAGEMAKER_REGION and AWS_REGION.
Machine this_machine();

using Variables = std::map<std::string, std::string>;

// `program`: the script's name, as "train.py". `arguments`: what it would be called with. Keys with
// hyphens have a second form with underscores; values are text as it is, or JSON without blanks,
// with sorted keys, in ASCII; null is empty.
Variables sm_variables(const Job& job, const ContainerPaths& paths, const Machine& machine,
                       const std::string& program, const std::vector<std::string>& arguments);

// Hyperparameters as the words of a command line: "--name", "value", sorted by name; one letter has
// one dash; values as Python's str() writes them.
std::vector<std::string> script_arguments(const Json& hyperparameters);

}  // namespace kiln::sagemaker
