#include "apps/sagemaker-train/job.h"

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "models/json_strict.h"

namespace kiln::sagemaker {
namespace {

constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{1} << 20;
constexpr std::size_t kMaxHosts = 4096;
constexpr const char *kHyperparametersFile = "hyperparameters.json",
                     *kResourcesFile = "resourceconfig.json",
                     *kChannelsFile = "inputdataconfig.json";

[[noreturn]] void refuse(std::string_view file, std::string_view key, std::string_view wrong,
                         std::string_view mend = {}) {
  throw Error(ErrorKind::input, std::string(file) + ": " + printable(key), wrong, mend);
}

Json parse_object(const std::string& text, const char* file) {
  Json object = parse_json_strict(text, file);
  if (!object.is_object()) throw Error(ErrorKind::input, file, "is no JSON object");
  return object;
}

// Names become folders, variables and words of a log.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::string read_name(const Json& value, std::string_view key) {
  if (!value.is_string() || !is_name(value.get_ref<const std::string&>()))
    refuse(kResourcesFile, key, "is no name of letters, digits, '.', '_' and '-'");
  return value;
}

std::vector<std::string> read_hosts(const Json& value) {
  if (!value.is_array() || value.empty() || value.size() > kMaxHosts)
    refuse(kResourcesFile, "hosts", "is no list of 1 to 4096 names");
  std::vector<std::string> hosts;
  for (const Json& host : value) hosts.push_back(read_name(host, "hosts"));
  const std::set<std::string> unique(hosts.begin(), hosts.end());
  if (unique.size() != hosts.size()) refuse(kResourcesFile, "hosts", "names a host twice");
  return hosts;
}

Json read_groups(const Json& list) {
  constexpr const char* kWhere = "instance_groups";
  if (!list.is_array()) refuse(kResourcesFile, kWhere, "is no list");
  Json groups = Json::object();
  for (const Json& group : list) {
    if (!group.is_object() || !group.contains("instance_group_name"))
      refuse(kResourcesFile, kWhere, "holds a group without instance_group_name");
    groups[read_name(group["instance_group_name"], kWhere)] = group;
  }
  return groups;
}

Resources parse_resources(const std::string& text) {
  Resources r;
  if (text.empty()) return r;
  r.whole = parse_object(text, kResourcesFile);
  for (const char* key : {"current_host", "hosts"})
    if (!r.whole.contains(key)) refuse(kResourcesFile, key, "is missing");
  r.current_host = read_name(r.whole["current_host"], "current_host");
  r.hosts = read_hosts(r.whole["hosts"]);
  if (std::ranges::find(r.hosts, r.current_host) == r.hosts.end())
    refuse(kResourcesFile, "current_host", "is not among the hosts");
  const auto has = [&](const char* key) {
    return r.whole.contains(key) && !r.whole[key].is_null();
  };
  const auto name = [&](const char* key, std::string& into) {
    if (has(key)) into = read_name(r.whole[key], key);
  };
  name("network_interface_name", r.network_interface);
  name("current_instance_type", r.instance_type);
  name("current_group_name", r.instance_group);
  if (has("instance_groups")) r.groups = read_groups(r.whole["instance_groups"]);
  return r;
}

Json parse_channels(const std::string& text) {
  if (text.empty()) return Json::object();
  Json channels = parse_object(text, kChannelsFile);
  for (const auto& [name, channel] : channels.items()) {
    if (!is_name(name)) refuse(kChannelsFile, name, "is no channel's name");
    if (!channel.is_object()) refuse(kChannelsFile, name, "is no object");
    const Json mode = channel.value("TrainingInputMode", Json("File"));
    if (mode == "Pipe")
      refuse(kChannelsFile, name, "comes as Pipe, which is not read here",
             "use the input mode File or FastFile");
    if (mode != "File" && mode != "FastFile")
      refuse(kChannelsFile, name, "has an unknown TrainingInputMode",
             "use the input mode File or FastFile");
  }
  return channels;
}

// What the platform keeps for itself.
bool is_reserved(std::string_view key) {
  return key == "_tuning_objective_metric" || key == "default_user_module_name";
}

void parse_hyperparameters(const std::string& text, Job& job) {
  const Json all = parse_object(text, kHyperparametersFile);
  for (const auto& [key, value] : all.items()) {
    if (key.empty() || key.size() > 256 ||
        key.find_first_of(std::string_view("=\0", 2)) != key.npos)
      refuse(kHyperparametersFile, key, "is no name of a hyperparameter");
    if (is_reserved(key)) continue;
    Json& home = key.starts_with("sagemaker_") ? job.framework : job.hyperparameters;
    home[key] = decode_hyperparameter(value);
  }
}

std::string read_if_there(const Path& path) {
  if (!std::filesystem::exists(path)) return {};
  std::string text = read_text_file(path, kMaxConfigBytes);
  // An empty file is no JSON, and no missing file.
  return text.empty() ? std::string(" ") : text;
}

Json channels_of_folders(const ContainerPaths& paths) {
  Json channels = Json::object();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.data(), ignored))
    if (const std::string name = entry.path().filename(); entry.is_directory() && is_name(name))
      channels[name] = {{"TrainingInputMode", "File"}};
  return channels;
}

}  // namespace

std::size_t Resources::rank() const {
  return static_cast<std::size_t>(std::ranges::find(hosts, current_host) - hosts.begin());
}

std::string Job::framework_text(std::string_view key) const {
  const auto found = framework.find(key);
  return found != framework.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t Job::log_level() const {
  const auto level = framework.find("sagemaker_container_log_level");
  return level != framework.end() && level->is_number_integer() ? level->get<std::int64_t>()
                                                                : kInfoLevel;
}

Json decode_hyperparameter(const Json& value) {
  if (!value.is_string()) return value;
  try {
    return parse_json_strict(value.get_ref<const std::string&>(), "hyperparameter");
  } catch (const Error&) {
    return value;
  }
}

Job parse_job(const JobTexts& texts) {
  Job job;
  if (!texts.hyperparameters.empty()) parse_hyperparameters(texts.hyperparameters, job);
  job.resources = parse_resources(texts.resources);
  job.channels = parse_channels(texts.channels);
  return job;
}

Job read_job(const ContainerPaths& paths) {
  const JobTexts texts{.hyperparameters = read_if_there(paths.config() / kHyperparametersFile),
                       .resources = read_if_there(paths.config() / kResourcesFile),
                       .channels = read_if_there(paths.config() / kChannelsFile)};
  Job job = parse_job(texts);
  if (texts.channels.empty()) job.channels = channels_of_folders(paths);
  return job;
}

}  // namespace kiln::sagemaker
