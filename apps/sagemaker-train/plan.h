// From a job to the settings of one training run.
#pragma once

#include <string>
#include <vector>

#include "apps/sagemaker-train/job.h"
#include "apps/sagemaker-train/scripts.h"

namespace kiln::sagemaker {

struct Plan {
  const Script* script = nullptr;
  std::string entry_point;  // what the job names, perhaps with folders; else the script
  TrainFlags flags;
  std::vector<std::string> channels;  // those that are read
  Json hyperparameters;               // the job's, with those of the command line over them
  std::vector<std::string> ignored;   // one line for each that changes nothing here, and why
  // More than one: flags.hosts names them too, with their ranks; the first one leads (hosts.h).
  std::vector<std::string> hosts;

  // Of several hosts.
  std::int64_t ranks_per_host() const {
    return flags.ranks / static_cast<std::int64_t>(hosts.size());
  }
};

// `words`: the command line behind `train`, as "--epochs 2"; it wins over the job's files. Throws
// Error (input or usage) naming what is wrong.
Plan make_plan(const Job& job, const ContainerPaths& paths, const std::vector<std::string>& words);

// `cause` with the host beside a rank that it begins with: "rank 3 (host algo-2): has died". The
// same where there is one host.
std::string with_host(std::string cause, const Plan& plan);

}  // namespace kiln::sagemaker
