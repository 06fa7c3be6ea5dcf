// What SageMaker says of a training job: the three files of /opt/ml/input/config.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "apps/sagemaker-train/container.h"

namespace kiln::sagemaker {

using Json = nlohmann::json;

struct Resources {
  std::string current_host = "algo-1";
  std::vector<std::string> hosts = {"algo-1"};
  std::string network_interface = "eth0";
  std::string instance_type = "local";
  std::string instance_group = "homogeneousCluster";
  Json groups = Json::object();  // name: {hosts, instance_group_name, instance_type}
  Json whole = Json::object();   // the file

  std::size_t rank() const;  // of the current host among the hosts
};

inline constexpr std::int64_t kInfoLevel = 20;

struct Job {
  Json hyperparameters = Json::object();  // the user's, decoded
  Json framework = Json::object();        // keys that begin with sagemaker_, decoded
  Resources resources;
  Json channels = Json::object();  // name: {TrainingInputMode, ...}

  // Of a sagemaker_ key that holds text; empty where it is not there.
  std::string framework_text(std::string_view key) const;
  // As Python's logging counts; kInfoLevel where the job does not say.
  std::int64_t log_level() const;
};

// A value of hyperparameters.json: JSON within a string where it is that, else the string.
Json decode_hyperparameter(const Json& value);

// Parses the three texts; an empty one stands for a file that is not there. Throws Error (input)
// naming file and key.
struct JobTexts {
  std::string hyperparameters, resources, channels;
};
Job parse_job(const JobTexts& texts);

// The same from the folders. A container that is started by hand may have no files: then there is
// one host, and each folder of input/data is a channel. Throws Error (input or io).
Job read_job(const ContainerPaths& paths);

}  // namespace kiln::sagemaker
