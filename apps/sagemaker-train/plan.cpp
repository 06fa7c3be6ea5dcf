#include "apps/sagemaker-train/plan.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace kiln::sagemaker {
namespace {

// Names of the scripts that are other words for a flag of kiln train.
struct Alias {
  std::string_view name, flag;
};
constexpr Alias kAliases[] = {{"learning-rate", "lr"}, {"data-dir", "data"}};

// Names that the scripts take and that change nothing here.
struct Idle {
  std::string_view name, why;
};
constexpr Idle kIdle[] = {
    {"test-batch-size", "an evaluation gives the same numbers for every batch size"},
    {"dist-backend", "processes are joined by kiln's own communicators"},
    {"backend", "processes are joined by kiln's own communicators"},
    {"num-gpus", "the GPU is found by itself; see --device"},
    {"hosts", "the hosts are those of resourceconfig.json"},
    {"current-host", "the host is that of resourceconfig.json"},
    {"verbose", "the log is complete anyway; see --log-level"},
};

std::string dashed(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

std::string flag_of(std::string_view name) {
  std::string text = dashed(name);
  for (const Alias& alias : kAliases)
    if (alias.name == text) return std::string(alias.flag);
  return text;
}

const Idle* find_idle(std::string_view name) {
  const auto found = std::ranges::find(kIdle, dashed(name), &Idle::name);
  return found == std::end(kIdle) ? nullptr : &*found;
}

std::string value_text(const std::string& name, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_structured())
    throw Error(ErrorKind::input, "hyperparameter " + printable(name), "is a list or an object",
                "give one value");
  return value.dump();
}

// As words of kiln train's command line.
void add_words(std::vector<std::string>& words, const std::string& name, const Json& value) {
  const std::string flag = flag_of(name);
  if (!is_train_flag(flag))
    throw Error(ErrorKind::input, "hyperparameter " + printable(name),
                "is known neither to the scripts of the workshop nor to kiln train",
                "kiln train --help lists the settings");
  if (value.is_null()) return;  // as if it were not there
  const std::string front = "--" + flag + "=";
  if (value.is_array())
    for (const Json& item : value) words.push_back(front + value_text(name, item));
  else
    words.push_back(front + value_text(name, value));
}

// "--name value", "--name=value" or "--name" alone.
Json parse_words(const std::vector<std::string>& words) {
  Json values = Json::object();
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with("--") || word.size() < 3)
      throw Error(ErrorKind::usage, printable(word), "is no setting",
                  "write settings as --name value");
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == word.npos ? equals : equals - 2);
    if (equals != word.npos)
      values[name] = decode_hyperparameter(word.substr(equals + 1));
    else if (i + 1 < words.size() && !words[i + 1].starts_with("--"))
      values[name] = decode_hyperparameter(words[++i]);
    else
      values[name] = true;
  }
  return values;
}

// The command line's values over the file's, whichever way a name is spelt.
Json merged(Json values, const Json& stronger) {
  for (const auto& [name, value] : stronger.items()) {
    for (auto it = values.begin(); it != values.end();)
      it = flag_of(it.key()) == flag_of(name) ? values.erase(it) : std::next(it);
    values[name] = value;
  }
  return values;
}

// Where the pictures are: the scripts read the channel `training`.
Path data_folder(const Job& job, const ContainerPaths& paths, const Script& script) {
  const auto has = [&](const char* name) { return job.channels.contains(name); };
  // The two channels of MNIST's script are one data set.
  if (script.story == Story::mnist && has("training") && has("testing")) return paths.data();
  for (const char* name : {"training", "train"})
    if (has(name)) return paths.channel(name);
  if (job.channels.size() == 1) return paths.channel(job.channels.begin().key());
  std::string names;
  for (const auto& [name, channel] : job.channels.items())
    names += (names.empty() ? "" : ", ") + name;
  throw Error(ErrorKind::input, "channel training",
              "is missing" + (names.empty() ? "; the job has no channel" : ": there are " + names),
              "give the job a channel of that name with the pictures");
}

void ignore_other_channels(const Job& job, Plan& plan) {
  for (const auto& [name, channel] : job.channels.items()) {
    const bool used = plan.flags.data.ends_with("/" + name) || plan.script->story == Story::mnist;
    if (!used)
      plan.ignored.push_back("channel " + name + " is not read: the data set is " +
                             plan.flags.data);
  }
}

// Several hosts that each train alone would look like a success.
void check_hosts(const Job& job) {
  if (job.resources.hosts.size() == 1) return;
  throw Error(ErrorKind::unsupported, "resourceconfig.json: hosts",
              "names " + std::to_string(job.resources.hosts.size()) +
                  " hosts, and this program trains on one",
              "start the job with one instance");
}

}  // namespace

Plan make_plan(const Job& job, const ContainerPaths& paths, const std::vector<std::string>& words) {
  check_hosts(job);
  Plan plan;
  plan.script =
      &find_script(job.framework_text("sagemaker_program"), job.channels.contains("testing"));
  plan.hyperparameters = merged(job.hyperparameters, parse_words(words));
  TrainFlags defaults = defaults_of(*plan.script);
  defaults.model_dir = paths.model();
  defaults.output_dir = paths.output_data();
  defaults.checkpoint_path = paths.checkpoints();
  defaults.resume_if_present = true;
  std::vector<std::string> train_words;
  bool has_data = false;
  for (const auto& [name, value] : plan.hyperparameters.items()) {
    if (const Idle* idle = find_idle(name)) {
      plan.ignored.push_back(name + " changes nothing: " + std::string(idle->why));
      continue;
    }
    has_data = has_data || flag_of(name) == "data";
    add_words(train_words, name, value);
  }
  if (!has_data) train_words.push_back("--data=" + data_folder(job, paths, *plan.script).string());
  if (job.framework.value("sagemaker_distributed_dataparallel_enabled", Json()) == Json(true))
    plan.ignored.push_back(
        "sagemaker_distributed_dataparallel_enabled starts no processes here: their number is that "
        "of sagemaker_mpi_num_of_processes_per_host, or one");
  const Json processes = job.framework.value("sagemaker_mpi_num_of_processes_per_host", Json());
  if (processes.is_number_integer() && !plan.hyperparameters.contains("ranks"))
    train_words.push_back("--ranks=" + processes.dump());
  plan.flags = parse_train_flags(defaults, train_words);
  ignore_other_channels(job, plan);
  return plan;
}

}  // namespace kiln::sagemaker
