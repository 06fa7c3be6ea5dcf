#include "apps/sagemaker-train/variables.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sched.h>

namespace kiln::sagemaker {
namespace {

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string variable_text(const Json& value) {
  if (value.is_null()) return {};
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

std::string upper(std::string_view key) {
  std::string text(key);
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

void put(Variables& variables, std::string_view key, const Json& value) {
  std::string name = "SM_" + upper(key);
  const std::string text = variable_text(value);
  variables[name] = text;
  std::ranges::replace(name, '-', '_');
  variables[name] = text;
}

// Python's repr of a value within a list.
std::string python_repr(const Json& value);

std::string python_str(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, item] : value.items())
      text += (text.empty() ? "" : ",") + key + "=" + python_str(item);
    return text;
  }
  return python_repr(value);
}

std::string python_repr(const Json& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_string()) {
    const auto& raw = value.get_ref<const std::string&>();
    const char quote = raw.find('\'') != raw.npos && raw.find('"') == raw.npos ? '"' : '\'';
    std::string text(1, quote);
    for (const char c : raw) {
      if (c == quote || c == '\\') text += '\\';
      text += c;
    }
    return text + quote;
  }
  if (!value.is_structured()) return json_text(value);
  std::string text;
  for (const auto& [key, item] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += python_repr(key) + ": ";
    text += python_repr(item);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

std::string stem_of(const std::string& program) {
  return program.ends_with(".py") ? program.substr(0, program.size() - 3) : program;
}

Json channel_folders(const Job& job, const ContainerPaths& paths) {
  Json folders = Json::object();
  for (const auto& [name, channel] : job.channels.items())
    folders[name] = paths.channel(name).string();
  return folders;
}

// Groups as the platform tells them, or the one that there is where it tells none.
Json groups_of(const Resources& r) {
  if (!r.groups.empty()) return r.groups;
  return {{r.instance_group,
           {{"hosts", r.hosts},
            {"instance_group_name", r.instance_group},
            {"instance_type", r.instance_type}}}};
}

Json names_of(const Json& object) {
  Json names = Json::array();
  for (const auto& [name, item] : object.items()) names.push_back(name);
  return names;
}

Json hosts_of_group(const Json& groups, const Resources& r) {
  const auto group = groups.find(r.instance_group);
  if (group == groups.end() || !group->contains("hosts")) return r.hosts;
  return (*group)["hosts"];
}

// Every key of SM_TRAINING_ENV is a variable of its own too, but for a few.
Json training_environment(const Job& job, const ContainerPaths& paths, const Machine& machine,
                          const std::string& program) {
  const Resources& r = job.resources;
  const Json groups = groups_of(r);
  const std::string submitted = job.framework_text("sagemaker_submit_directory");
  Json env = {{"channel_input_dirs", channel_folders(job, paths)},
              {"current_host", r.current_host},
              {"current_instance_group", r.instance_group},
              {"current_instance_group_hosts", hosts_of_group(groups, r)},
              {"current_instance_type", r.instance_type},
              {"distribution_instance_groups",
               job.framework.value("sagemaker_distribution_instance_groups", Json::array())},
              {"framework_module", "kiln:train"},
              {"hosts", r.hosts},
              {"hyperparameters", job.hyperparameters},
              {"input_config_dir", paths.config().string()},
              {"input_data_config", job.channels},
              {"input_dir", paths.input().string()},
              {"instance_groups", names_of(groups)},
              {"instance_groups_dict", groups},
              {"is_hetero", groups.size() > 1},
              {"is_master", r.rank() == 0},
              {"job_name", job.framework_text("sagemaker_job_name")},
              {"log_level", job.log_level()},
              {"master_hostname", r.hosts.front()},
              {"model_dir", paths.model().string()},
              {"module_dir", submitted.empty() ? paths.code().string() : submitted},
              {"module_name", stem_of(program)},
              {"network_interface_name", r.network_interface},
              {"num_cpus", machine.cpu_count},
              {"num_gpus", machine.gpu_count},
              {"num_neurons", machine.neuron_count},
              {"output_data_dir", paths.output_data().string()},
              {"output_dir", paths.output().string()},
              {"output_intermediate_dir", paths.output_intermediate().string()},
              {"resource_config", r.whole},
              {"user_entry_point", program}};
  if (r.whole.contains("topology")) env["topology"] = r.whole["topology"];
  return env;
}

// sagemaker_ keys that the toolkit does not know by name.
Json unknown_framework_keys(const Job& job) {
  constexpr std::string_view kKnown[] = {
      "sagemaker_program",     "sagemaker_submit_directory", "sagemaker_container_log_level",
      "sagemaker_job_name",    "sagemaker_region",           "sagemaker_enable_cloudwatch_metrics",
      "sagemaker_s3_output",   "sagemaker_mpi_enabled",      "sagemaker_mpi_num_processes",
      "sagemaker_use_env_vars"};
  Json unknown = Json::object();
  for (const auto& [key, value] : job.framework.items())
    if (std::ranges::find(kKnown, key) == std::end(kKnown)) unknown[key] = value;
  return unknown;
}

int count_entries(const char* folder, std::string_view prefix) {
  int count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    const bool numbered = name.size() > prefix.size() && name.starts_with(prefix) &&
                          name.find_first_not_of("0123456789", prefix.size()) == name.npos;
    count += prefix.empty() || numbered ? 1 : 0;
  }
  return count;
}

}  // namespace

Machine this_machine() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  Machine machine{.gpu_count = count_entries("/proc/driver/nvidia/gpus", ""),
                  .neuron_count = count_entries("/dev", "neuron")};
  for (const char* name : {"SAGEMAKER_REGION", "AWS_REGION"})
    if (const char* region = std::getenv(name); region != nullptr && machine.region.empty())
      machine.region = region;
  if (::sched_getaffinity(0, sizeof cpus, &cpus) == 0) machine.cpu_count = CPU_COUNT(&cpus);
  return machine;
}

std::vector<std::string> script_arguments(const Json& hyperparameters) {
  std::vector<std::string> words;
  for (const auto& [key, value] : hyperparameters.items()) {
    words.push_back((key.size() == 1 ? "-" : "--") + key);
    words.push_back(python_str(value));
  }
  return words;
}

Variables sm_variables(const Job& job, const ContainerPaths& paths, const Machine& machine,
                       const std::string& program, const std::vector<std::string>& arguments) {
  Json env = training_environment(job, paths, machine, program);
  env["additional_framework_parameters"] = unknown_framework_keys(job);
  Variables variables;
  constexpr std::string_view kOnlyWithin[] = {"additional_framework_parameters",
                                              "channel_input_dirs",
                                              "hyperparameters",
                                              "is_master",
                                              "job_name",
                                              "master_hostname"};
  for (const auto& [key, value] : env.items())
    if (std::ranges::find(kOnlyWithin, key) == std::end(kOnlyWithin)) put(variables, key, value);
  put(variables, "hps", job.hyperparameters);
  put(variables, "framework_params", env["additional_framework_parameters"]);
  put(variables, "channels", names_of(job.channels));
  put(variables, "user_args", arguments);
  put(variables, "training_env", env);
  for (const auto& [name, folder] : env["channel_input_dirs"].items())
    put(variables, "channel_" + name, folder);
  for (const auto& [name, value] : job.hyperparameters.items()) put(variables, "hp_" + name, value);
  put(variables, "master_addr", job.resources.hosts.front());
  put(variables, "master_port", 7777);
  put(variables, "host_count", job.resources.hosts.size());
  put(variables, "current_host_rank", job.resources.rank());
  variables["CURRENT_HOST"] = job.resources.current_host;
  variables["SAGEMAKER_JOB_NAME"] = job.framework_text("sagemaker_job_name");
  const std::string region = job.framework_text("sagemaker_region");
  if (!region.empty() || !machine.region.empty())
    variables["SAGEMAKER_REGION"] = region.empty() ? machine.region : region;
  return variables;
}

}  // namespace kiln::sagemaker
