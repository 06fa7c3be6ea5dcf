// Plans of training jobs, out of the texts of their files.
#pragma once

#include <string>
#include <vector>

#include "apps/sagemaker-train/plan.h"

namespace kiln::sagemaker {

inline const ContainerPaths kPaths("/opt/ml");

inline Plan plan_of(const std::string& hyperparameters, const std::vector<std::string>& words = {},
                    const std::string& channels = R"({"training": {}})",
                    const std::string& hosts = "") {
  return make_plan(
      parse_job({.hyperparameters = hyperparameters, .resources = hosts, .channels = channels}),
      kPaths, words);
}

}  // namespace kiln::sagemaker
