#include "apps/sagemaker-train/plan.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace kiln::sagemaker {
namespace {

// Names of the scripts that are other words for a flag of kiln train.
struct Alias {
  std::string_view name, flag;
};
constexpr Alias kAliases[] = {
    {"learning-rate", "lr"}, {"data-dir", "data"}, {"beta-1", "beta1"}, {"beta-2", "beta2"}};

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

// Which of two values counts would depend on the spelling's place in the alphabet.
void refuse_two_spellings(const Json& values) {
  const auto text = [](const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  std::map<std::string, std::string> names;  // by what they stand for
  for (const auto& [name, value] : values.items()) {
    const auto [other, is_new] = names.emplace(flag_of(name), name);
    if (!is_new && text(values[other->second]) != text(value))
      throw Error(ErrorKind::input,
                  "hyperparameters " + printable(other->second) + " and " + printable(name),
                  "are one setting with two values", "leave one of them out");
  }
}

// Where the pictures are, and in which layout as far as that is known.
struct DataPlace {
  Path path;
  std::vector<std::string> channels;
  std::optional<DataLayout> layout = {};
};

// A channel of training and one of test pictures that are one data set together. Where there are
// two for one split, nothing says which is meant.
std::optional<DataPlace> find_pair(const Job& job, const ContainerPaths& paths) {
  const auto has = [&](const char* name) { return job.channels.contains(name); };
  if (has("training") == has("train") || (has("testing") && has("test"))) return std::nullopt;
  for (const char* test : {"testing", "test", "validation"}) {
    if (!has(test)) continue;
    const auto layout = find_layout(paths.data());
    if (!layout) return std::nullopt;
    return DataPlace{paths.data(), {has("training") ? "training" : "train", test}, layout};
  }
  return std::nullopt;
}

// The scripts read the channel `training`.
DataPlace find_data(const Job& job, const ContainerPaths& paths) {
  if (auto pair = find_pair(job, paths)) return *std::move(pair);
  const auto alone = [&](const std::string& name) {
    return DataPlace{paths.channel(name), {name}};
  };
  for (const char* name : {"training", "train"})
    if (job.channels.contains(name)) return alone(name);
  if (job.channels.size() == 1) return alone(job.channels.begin().key());
  std::string names;
  for (const auto& [name, channel] : job.channels.items())
    names += (names.empty() ? "" : ", ") + name;
  throw Error(ErrorKind::input, "channel training",
              "is missing" + (names.empty() ? "; the job has no channel" : ": there are " + names),
              "give the job a channel of that name with the pictures");
}

bool names_data(const Json& hyperparameters) {
  return std::ranges::any_of(hyperparameters.items(), [](const auto& item) {
    return find_idle(item.key()) == nullptr && flag_of(item.key()) == "data";
  });
}

// Of a folder that the job names itself.
std::vector<std::string> channels_at(const Path& data, const Job& job,
                                     const ContainerPaths& paths) {
  std::vector<std::string> channels;
  for (const auto& [name, channel] : job.channels.items())
    if (data == paths.channel(name)) channels.push_back(name);
  return channels;
}

bool is_read(const std::string& channel, const Plan& plan) {
  return std::ranges::find(plan.channels, channel) != plan.channels.end();
}

void ignore_other_channels(const Job& job, Plan& plan) {
  for (const auto& [name, channel] : job.channels.items())
    if (!is_read(name, plan))
      plan.ignored.push_back("channel " + name + " is not read: the data set is " +
                             plan.flags.data);
}

// Every rank takes its part of every step's pictures, so it must have them all.
void check_whole_on_every_host(const Job& job, const Plan& plan) {
  for (const auto& [name, channel] : job.channels.items())
    if (is_read(name, plan) && channel.value("S3DistributionType", Json()) == "ShardedByS3Key")
      throw Error(ErrorKind::input, "inputdataconfig.json: " + name,
                  "is ShardedByS3Key: each host has another part, and every one needs all pictures",
                  "use the distribution FullyReplicated");
}

// Shares the ranks among the hosts.
void plan_hosts(const Job& job, Plan& plan) {
  plan.hosts = job.resources.hosts;
  const auto count = static_cast<std::int64_t>(plan.hosts.size());
  if (count == 1) return;
  if (plan.flags.ranks == 0) plan.flags.ranks = count;
  if (plan.flags.ranks % count != 0)
    throw Error(ErrorKind::input, "ranks " + std::to_string(plan.flags.ranks),
                "cannot be shared equally by " + std::to_string(count) + " hosts",
                "give a multiple of them, or sagemaker_mpi_num_of_processes_per_host");
  if (plan.flags.comm == "threads")
    throw Error(ErrorKind::input, "comm threads", "does not reach other hosts", "use auto or mpi");
  check_whole_on_every_host(job, plan);
  std::string list;
  for (const std::string& host : plan.hosts)
    list += (list.empty() ? "" : ",") + host + ":" + std::to_string(plan.ranks_per_host());
  plan.flags.hosts = list;
}

// The words for how many processes there are: those of all hosts together.
void add_processes(const Job& job, const Plan& plan, std::vector<std::string>& words) {
  const Json processes = job.framework.value("sagemaker_mpi_num_of_processes_per_host", Json());
  if (!processes.is_number_integer() || plan.hyperparameters.contains("ranks")) return;
  if (job.resources.hosts.size() == 1) return words.push_back("--ranks=" + processes.dump());
  constexpr std::int64_t kMost = 1024;
  const auto each = processes.is_number_unsigned() && processes.get<std::uint64_t>() > kMost
                        ? kMost + 1
                        : processes.get<std::int64_t>();
  if (each < 1 || each > kMost)
    throw Error(ErrorKind::input, "sagemaker_mpi_num_of_processes_per_host",
                "is " + processes.dump() + ", which is not 1 to " + std::to_string(kMost));
  words.push_back("--ranks=" +
                  std::to_string(each * static_cast<std::int64_t>(job.resources.hosts.size())));
}

}  // namespace

Plan make_plan(const Job& job, const ContainerPaths& paths, const std::vector<std::string>& words) {
  Plan plan;
  plan.hyperparameters = merged(job.hyperparameters, parse_words(words));
  refuse_two_spellings(plan.hyperparameters);
  const std::optional<DataPlace> place =
      names_data(plan.hyperparameters) ? std::nullopt : std::optional(find_data(job, paths));
  plan.entry_point = job.framework_text("sagemaker_program");
  plan.script = &find_script(plan.entry_point, place && place->layout == DataLayout::idx);
  if (plan.entry_point.empty()) plan.entry_point = plan.script->program;
  TrainFlags defaults = defaults_of(*plan.script);
  defaults.model_dir = paths.model();
  defaults.output_dir = paths.output_data();
  defaults.checkpoint_path = paths.checkpoints();
  defaults.resume_if_present = true;
  std::vector<std::string> train_words;
  for (const auto& [name, value] : plan.hyperparameters.items()) {
    if (const Idle* idle = find_idle(name)) {
      plan.ignored.push_back(name + " changes nothing: " + std::string(idle->why));
      continue;
    }
    add_words(train_words, name, value);
  }
  if (place) train_words.push_back("--data=" + place->path.string());
  if (job.framework.value("sagemaker_distributed_dataparallel_enabled", Json()) == Json(true))
    plan.ignored.push_back(
        "sagemaker_distributed_dataparallel_enabled starts no processes here: their number is that "
        "of sagemaker_mpi_num_of_processes_per_host, or one, on each host");
  add_processes(job, plan, train_words);
  plan.flags = parse_train_flags(defaults, train_words);
  plan.channels = place ? place->channels : channels_at(plan.flags.data, job, paths);
  if (plan.script->story == Story::spot && !plan.flags.groups.empty())
    plan.ignored.push_back("checkpoint.pth is not written: torch.optim has nothing for group");
  plan_hosts(job, plan);
  ignore_other_channels(job, plan);
  return plan;
}

std::string with_host(std::string cause, const Plan& plan) {
  constexpr std::string_view kBefore = "rank ";
  if (plan.hosts.size() < 2 || !cause.starts_with(kBefore)) return cause;
  std::size_t rank = 0;
  const char* begin = cause.data() + kBefore.size();
  const auto [end, fault] = std::from_chars(begin, cause.data() + cause.size(), rank);
  const std::size_t host = rank / static_cast<std::size_t>(plan.ranks_per_host());
  if (fault != std::errc() || *end != ':' || host >= plan.hosts.size()) return cause;
  return cause.insert(static_cast<std::size_t>(end - cause.data()),
                      " (host " + plan.hosts[host] + ")");
}

}  // namespace kiln::sagemaker
