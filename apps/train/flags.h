// The flags of kiln train, from the command line and a TOML file, resolved into values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/common/options.h"
#include "engine/core/file.h"

namespace kiln {

struct TrainFlags {
  std::string model = "lenet", data, model_dir = "kiln-model";
  std::string output_dir;  // of what is no part of the model; empty: the model directory
  std::int64_t epochs = 10, batch_size = 64, accumulate = 1;
  double lr = 0.001;
  std::string optimizer = "sgd";
  double momentum = 0.9, dampening = 0.0, weight_decay = 0.0;
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, rho = 0.9;
  std::optional<double> epsilon;  // the optimizer's own default
  std::string schedule = "constant";
  double gamma = 0.7;
  std::int64_t step_epochs = 1;
  double warmup_epochs = 0.0, warmup_start_ratio = 0.0, final_lr_ratio = 0.0;
  double label_smoothing = 0.0;
  std::string tta = "none";         // views of a test picture, in every evaluation
  std::vector<std::string> groups;  // as parse_group takes them
  bool drop_last = false;
  std::int64_t lookahead = 0;
  double lookahead_decay = 0.95;
  std::uint64_t seed = 1;
  std::int64_t workers = 0, log_interval = 100;
  CommonOptions common;
  bool resume = false, resume_if_present = false;
  std::string checkpoint_path;
  std::int64_t checkpoint_interval = 0;
  std::int64_t crop_padding = 0, cutout = 0;
  std::string crop_fill = "zero", flip = "none";
  std::string normalisation = "auto";
  std::vector<double> mean, std;
  bool no_resident = false, no_graph = false;
  bool no_report = false, no_tensorboard = false;
  std::int64_t ranks = 0;  // 0: those that a launcher has started, else one
  std::string comm = "auto", hosts, interface, remote_shell;
  bool global_batch = false, log_ranks = false, sync_bn = false;
  std::string lr_scaling = "none", overlap = "auto", wire = "fp32";
  std::int64_t rank_timeout = 60;
};

using KeyValues = std::vector<std::pair<std::string, std::string>>;

// Throws Error (usage) naming the flag or the line of the file; ExitEarly behind --help.
TrainFlags parse_train_flags(int argc, char** argv);

// The flags of kiln train behind `defaults`, as `--name=value`, each of them at most once unless it
// takes a list. Errors as above.
TrainFlags parse_train_flags(const TrainFlags& defaults, const std::vector<std::string>& words);
// Whether `name`, such as "batch-size", is a flag of kiln train that a run can be given.
bool is_train_flag(std::string_view name);

// The same for a command line and the text of a configuration file, which errors call `name`.
TrainFlags parse_train_config(const std::vector<std::string>& line, std::string_view text,
                              const std::string& name);

// Where a run keeps its checkpoints, and the one of them that it goes on from.
Path checkpoint_folder(const TrainFlags& flags);
Path checkpoint_file(const TrainFlags& flags);

// Every flag with its value, in the order of --help.
KeyValues resolved(const TrainFlags& flags);
// The same as a TOML file that --config takes.
std::string to_toml(const TrainFlags& flags);

}  // namespace kiln
