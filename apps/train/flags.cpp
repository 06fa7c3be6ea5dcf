#include "apps/train/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <set>
#include <toml++/toml.h>

#include "apps/train/recipes.h"
#include "engine/core/error.h"
#include "engine/train/optimizer.h"
#include "models/zoo.h"

namespace kiln {
namespace {

constexpr const char* kFooter = R"(Examples:
  kiln train --data DIR --epochs 10                 the workshop's LeNet on CIFAR-10
  kiln train --model resnet18 --data DIR --lr 0.1 --batch-size 128 --weight-decay 5e-4 \
      --schedule cosine --flip random --crop-padding 4
  kiln train --recipe speedrun94 --data DIR         a network with settings that suit it
  kiln train --config run.toml --resume             go on after a stop, bit for bit
  kiln train --model my_net.json --data DIR         a network of your own (docs/models.md)

DIR holds CIFAR-10 (binary or Python), an image folder or MNIST files (docs/data.md); `kiln data
synth DIR` draws a stand-in set. Ctrl-C and SIGTERM write a checkpoint and leave: 130 and 0.
Exit codes: 0 done, 1 bad input or I/O, 2 wrong usage, 3 the loss diverged.)";

// CLI11 takes -1 and 2^64 for 2^64 - 1, and 010 for 8. Nothing where the text is a seed.
std::string fault_of_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seed);
  if (error == std::errc() && rest == end && (text.front() != '0' || text.size() == 1)) return {};
  return "must be a whole number, 0 to 18446744073709551615, not " + text;
}

void add_network_flags(CLI::App& app, TrainFlags& f) {
  app.add_option("--model", f.model, known_models() + ", or the path of a spec file (.json)");
  app.add_option("--data", f.data, "folder or archive of the data set (also $KILN_DATA)")
      ->envname("KILN_DATA");
  app.add_option("--model-dir", f.model_dir, "where everything that the run makes is written");
  app.add_option("--output-dir", f.output_dir,
                 "where metrics, report, events and config.toml are written; default: the model "
                 "directory");
  app.add_option("--epochs", f.epochs, "passes over the training set");
  app.add_option("--batch-size", f.batch_size, "pictures in a step");
  app.add_flag("--drop-last", f.drop_last, "leave out an epoch's last step if it is not full");
  app.add_option("--accumulate", f.accumulate,
                 "micro-batches of --batch-size pictures whose gradients make one step");
  app.add_option("--seed", f.seed, "of weights, order, augmentation and dropout")
      ->check(CLI::Validator(fault_of_seed, ""));
}

void add_optimizer_flags(CLI::App& app, TrainFlags& f) {
  app.add_option("--optimizer", f.optimizer, "sgd, adadelta, adam or adamw");
  app.add_option("--lr", f.lr, "base learning rate");
  app.add_option("--momentum", f.momentum, "sgd");
  app.add_option("--dampening", f.dampening, "sgd");
  app.add_option("--weight-decay", f.weight_decay, "L2 penalty; decoupled with adamw");
  app.add_flag("--nesterov", f.nesterov, "sgd with Nesterov momentum");
  app.add_option("--beta1", f.beta1, "adam, adamw");
  app.add_option("--beta2", f.beta2, "adam, adamw");
  app.add_option("--rho", f.rho, "adadelta");
  app.add_option("--epsilon", f.epsilon, "adam, adamw: 1e-8; adadelta: 1e-6");
  app.add_option("--schedule", f.schedule, "constant, step, cosine or linear");
  app.add_option("--gamma", f.gamma, "factor of the step schedule");
  app.add_option("--step-epochs", f.step_epochs, "epochs between two steps of the step schedule");
  app.add_option("--warmup-epochs", f.warmup_epochs, "epochs of linear warm-up, any schedule");
  app.add_option("--warmup-start-ratio", f.warmup_start_ratio, "first rate over base rate");
  app.add_option("--final-lr-ratio", f.final_lr_ratio, "last rate over base rate: cosine, linear");
  app.add_option("--label-smoothing", f.label_smoothing, "0 to 1, 1 excluded");
  app.add_option("--lookahead", f.lookahead,
                 "steps after which weights are set to their average; 0: never");
  app.add_option("--lookahead-decay", f.lookahead_decay,
                 "what the average keeps of itself over a step, at the end of the run");
  app.add_option("--group", f.groups,
                 "parameters with an optimizer of their own, once for each group: "
                 "\"match=NAMES lr=X [optimizer=sgd|muon] [momentum=X] [nesterov=true] "
                 "[weight-decay=X] [until-epochs=X]\"; NAMES with * for any text")
      ->expected(1, kMostGroups);
}

void add_data_flags(CLI::App& app, TrainFlags& f) {
  app.add_option("--crop-padding", f.crop_padding, "random crop after padding by this many pixels");
  app.add_option("--crop-fill", f.crop_fill, "what the padding holds: zero or reflect");
  app.add_option("--flip", f.flip, "none, random, or alternating (every other epoch)");
  app.add_option("--cutout", f.cutout, "side of a blanked square; 0: none");
  app.add_option("--normalisation", f.normalisation,
                 "chosen (--mean, --std), measured, per-image; auto: per-image for mnist, else "
                 "mean and std 0.5");
  app.add_option("--mean", f.mean, "per channel, on the scale 0 to 1")->expected(1, 3);
  app.add_option("--std", f.std, "per channel")->expected(1, 3);
  app.add_option("--tta", f.tta,
                 "views of each test picture whose class scores are averaged, in every evaluation: "
                 "none, mirror (2) or translate (6)");
  app.add_option("--workers", f.workers,
                 "threads that prepare batches ahead; 0: the training threads do it themselves");
}

void add_run_flags(CLI::App& app, TrainFlags& f) {
  add_common_options(app, f.common);
  add_math_option(app, f.common);
  app.add_flag("--resume", f.resume, "go on from the checkpoint; there must be one");
  app.add_flag("--resume-if-present", f.resume_if_present, "go on if there is a checkpoint");
  app.add_option("--checkpoint-path", f.checkpoint_path,
                 "folder of checkpoint.safetensors; default:"
                 " the model directory");
  app.add_option("--checkpoint-interval", f.checkpoint_interval,
                 "steps between checkpoints inside an epoch; 0: at its end only");
  app.add_option("--log-interval", f.log_interval,
                 "steps between two reports of the loss; 0: none");
  app.add_flag("--no-resident", f.no_resident,
               "on a GPU: make every batch on the host, even where the data set would fit there");
  app.add_flag("--no-graph", f.no_graph,
               "on a GPU: queue the ops of a step one by one instead of replaying a graph");
  app.add_flag("--no-report", f.no_report, "write no report.html");
  app.add_flag("--no-tensorboard", f.no_tensorboard, "write no TensorBoard events");
}

void add_rank_flags(CLI::App& app, TrainFlags& f) {
  app.add_option("--ranks", f.ranks,
                 "share every step among this many ranks; 0: those of the launcher");
  app.add_option("--comm", f.comm,
                 "threads, mpi (starts itself with mpirun), tcp (starts itself, or torchrun does); "
                 "auto: what has started it, else mpi where it is installed, else threads");
  app.add_flag("--global-batch", f.global_batch,
               "--batch-size is that of all ranks together, not of each");
  app.add_option("--lr-scaling", f.lr_scaling, "none, or linear: --lr times the number of ranks");
  app.add_option("--overlap", f.overlap,
                 "add gradients up while backward goes on: on, off (behind it), auto");
  app.add_flag("--sync-bn", f.sync_bn,
               "batch normalisation by the pictures of all ranks, not of each by itself");
  app.add_option("--wire", f.wire, "what gradients travel as: fp32, or bf16, half the bytes");
  app.add_option("--rank-timeout", f.rank_timeout,
                 "seconds that a rank is waited for before it counts as lost");
  app.add_flag("--log-ranks", f.log_ranks, "log of every rank, each line with its [rank]");
  app.add_option("--hosts", f.hosts, "with mpi: host:ranks,host:ranks; default: this machine");
  app.add_option("--interface", f.interface, "with mpi: name or subnet of the network");
  app.add_option("--remote-shell", f.remote_shell, "with mpi: reaches a host; default: ssh");
}

// Files of settings that a command line names.
struct SettingsFiles {
  std::string recipe, config;
};

void declare(CLI::App& app, TrainFlags& f, SettingsFiles& files) {
  app.footer(kFooter);
  add_network_flags(app, f);
  add_optimizer_flags(app, f);
  add_data_flags(app, f);
  add_run_flags(app, f);
  add_rank_flags(app, f);
  for (CLI::Option* option : app.get_options())
    if (option->get_items_expected_max() <= 1) option->take_last();
  app.add_option("--recipe", files.recipe,
                 "settings by name: " + recipe_names() + "; --config and flags win over it");
  app.add_option("--config", files.config, "TOML file of these settings; flags win over it");
}

std::string toml_value(const toml::node& node, const std::string& where) {
  if (const auto* text = node.as_string()) {
    if (text->get().find('\0') != std::string::npos)
      throw Error(ErrorKind::usage, where, "holds a NUL character");
    if (text->get().empty())
      throw Error(ErrorKind::usage, where, "is empty", "give a value, or leave the line out");
    return text->get();
  }
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* number = node.as_floating_point()) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", number->get());
    return text;
  }
  throw Error(ErrorKind::usage, where, "is no text, number, true, false or list of them");
}

// A setting as words of the command line; each value is in one word with its flag, so that no value
// can be taken for another flag.
void add_setting(std::vector<std::string>& words, const CLI::Option& option,
                 const std::string& name, const toml::node& node, const std::string& where) {
  const bool takes_list = option.get_items_expected_max() > 1;
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    words.push_back(name + "=" + toml_value(node, where));
    return;
  }
  if (!takes_list || list->empty())
    throw Error(ErrorKind::usage, where,
                takes_list ? "is an empty list" : "is a list where one value belongs");
  for (const toml::node& item : *list) words.push_back(name + "=" + toml_value(item, where));
}

// The file as arguments that stand before those of the command line, which therefore win. `app` has
// read the command line: a list that it names replaces the file's, where one would be added to it;
// so do lists that are in `taken` by name, where this file's are noted.
std::vector<std::string> read_config(std::string_view text, const std::string& path,
                                     const CLI::App& app, std::set<std::string>& taken) {
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::usage, path + ", line " + std::to_string(error.source().begin.line),
                "is not valid TOML: " + printable(error.description()));
  }
  std::vector<std::string> arguments;
  std::set<std::string> given;
  for (const auto& [key, node] : table) {
    std::string name = "--" + std::string(key.str());
    std::replace(name.begin(), name.end(), '_', '-');
    const std::string where =
        path + ", line " + std::to_string(node.source().begin.line) + ": " + printable(key.str());
    const CLI::Option* option = app.get_option_no_throw(name);
    if (option == nullptr || name == "--config" || name == "--recipe" || name == "--help" ||
        name == "--version")
      throw Error(ErrorKind::usage, where, "is no setting", "see kiln train --help");
    if (!given.insert(name).second)
      throw Error(ErrorKind::usage, where, "is given twice, with - and with _");
    if (option->get_items_expected_max() > 1 && (option->count() > 0 || !taken.insert(name).second))
      continue;
    add_setting(arguments, *option, name, node, where);
  }
  return arguments;
}

void parse(CLI::App& app, std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  parse_flags(app, static_cast<int>(argv.size()), argv.data());
}

void require(bool holds, std::string_view flag, std::string_view wrong) {
  if (!holds) throw Error(ErrorKind::usage, flag, wrong, "see kiln train --help");
}

void check(const TrainFlags& f) {
  require(!f.data.empty(), "--data",
          "is missing: name a data set, or draw one with kiln data synth DIR");
  require(f.epochs >= 1 && f.epochs <= 1000000, "--epochs", "must be 1 to 1000000");
  require(f.batch_size >= 1 && f.batch_size <= 1 << 20, "--batch-size", "must be 1 to 1048576");
  require(f.accumulate >= 1 && f.accumulate <= 1 << 16, "--accumulate", "must be 1 to 65536");
  require(f.batch_size * f.accumulate <= 1 << 24, "--accumulate",
          "times --batch-size must be 16777216 or less");
  require(f.lr >= 0.0 && f.lr <= 1e6, "--lr", "must be 0 to 1e6");
  require(f.step_epochs >= 1, "--step-epochs", "must be 1 or more");
  require(f.warmup_epochs >= 0.0 && f.warmup_epochs <= 1e6, "--warmup-epochs", "must be 0 to 1e6");
  require(f.warmup_start_ratio >= 0.0 && f.warmup_start_ratio <= 1.0, "--warmup-start-ratio",
          "must be 0 to 1");
  require(f.final_lr_ratio >= 0.0 && f.final_lr_ratio <= 1.0, "--final-lr-ratio", "must be 0 to 1");
  require(f.gamma >= 0.0 && f.gamma <= 1e6, "--gamma", "must be 0 to 1e6");
  require(f.label_smoothing >= 0.0 && f.label_smoothing < 1.0, "--label-smoothing",
          "must be 0 to 1, 1 excluded");
  require(f.lookahead >= 0 && f.lookahead <= 1000000, "--lookahead", "must be 0 to 1000000");
  require(f.lookahead_decay >= 0.0 && f.lookahead_decay <= 1.0, "--lookahead-decay",
          "must be 0 to 1");
  require(f.workers >= 0 && f.workers <= 256, "--workers", "must be 0 to 256");
  require(f.log_interval >= 0, "--log-interval", "must be 0 or more");
  require(f.checkpoint_interval >= 0, "--checkpoint-interval", "must be 0 or more");
  require(f.crop_padding >= 0 && f.crop_padding <= 1024, "--crop-padding", "must be 0 to 1024");
  require(f.cutout >= 0 && f.cutout <= 1024, "--cutout", "must be 0 to 1024");
  require(f.ranks >= 0 && f.ranks <= 65536, "--ranks", "must be 0 to 65536");
  require(f.rank_timeout >= 1 && f.rank_timeout <= 86400, "--rank-timeout", "must be 1 to 86400");
  require(f.lr_scaling == "none" || f.lr_scaling == "linear", "--lr-scaling",
          "must be none or linear");
  require(f.overlap == "auto" || f.overlap == "on" || f.overlap == "off", "--overlap",
          "must be auto, on or off");
  require(f.wire == "fp32" || f.wire == "bf16", "--wire", "must be fp32 or bf16");
  require(f.wire == "fp32" || f.overlap != "on", "--overlap on",
          "is not there with --wire bf16, which sends behind backward");
  constexpr std::string_view kComms[] = {"auto", "threads", "mpi", "tcp"};
  require(std::ranges::find(kComms, f.comm) != std::end(kComms), "--comm",
          "must be auto, threads, mpi or tcp");
  check_mean_and_std(f.mean, f.std);
  require(f.mean.empty() == f.std.empty() && f.mean.size() == f.std.size(), "--mean and --std",
          "belong together, one value a channel each");
}

// The shortest text that is this number.
std::string number(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string list(const std::vector<double>& values) {
  std::string text = "[";
  for (const double value : values) text += (text.size() > 1 ? ", " : "") + number(value);
  return text + "]";
}

std::string quoted(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", code);
      text += escape;
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"";
}

std::string list_of_texts(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + quoted(text);
  return "[" + list + "]";
}

// TOML's integers end at 2^63 - 1; above, the number is written as text, which --config takes too.
std::string large(std::uint64_t value) {
  const std::string text = std::to_string(value);
  return value > std::uint64_t{INT64_MAX} ? quoted(text) : text;
}

std::string truth(bool value) { return value ? "true" : "false"; }

}  // namespace

TrainFlags parse_train_flags(int argc, char** argv) {
  const std::vector<std::string> line(argv, argv + argc);
  TrainFlags flags;
  CLI::App app("Trains a network and writes a model directory.", "kiln train");
  SettingsFiles files;
  declare(app, flags, files);
  parse(app, line);
  if (!files.recipe.empty() || !files.config.empty())
    return parse_train_config(
        line,
        files.config.empty() ? std::string() : read_text_file(files.config, std::uint64_t{1} << 20),
        files.config);
  check(flags);
  return flags;
}

TrainFlags parse_train_flags(const TrainFlags& defaults, const std::vector<std::string>& words) {
  TrainFlags flags = defaults;
  CLI::App app("Trains a network and writes a model directory.", "kiln train");
  SettingsFiles files;
  declare(app, flags, files);
  std::vector<std::string> line = {"kiln train"};
  line.insert(line.end(), words.begin(), words.end());
  parse(app, line);
  check(flags);
  return flags;
}

bool is_train_flag(std::string_view name) {
  TrainFlags flags;
  CLI::App app;
  SettingsFiles files;
  declare(app, flags, files);
  constexpr std::string_view kNone[] = {"help", "version", "config", "recipe"};
  return std::ranges::find(kNone, name) == std::end(kNone) &&
         app.get_option_no_throw("--" + std::string(name)) != nullptr;
}

TrainFlags parse_train_config(const std::vector<std::string>& line, std::string_view text,
                              const std::string& name) {
  TrainFlags flags;
  CLI::App app("Trains a network and writes a model directory.", "kiln train");
  SettingsFiles files;
  declare(app, flags, files);
  parse(app, line);
  std::set<std::string> taken;
  std::vector<std::string> all = read_config(text, name, app, taken);
  if (!files.recipe.empty()) {
    const Recipe& recipe = find_recipe(files.recipe);
    const std::vector<std::string> first =
        read_config(recipe.text, "recipe " + files.recipe, app, taken);
    all.insert(all.begin(), first.begin(), first.end());
  }
  all.insert(all.begin(), line.front());
  all.insert(all.end(), line.begin() + 1, line.end());
  flags = TrainFlags{};
  parse(app, all);
  check(flags);
  return flags;
}

Path checkpoint_folder(const TrainFlags& flags) {
  return flags.checkpoint_path.empty() ? flags.model_dir : flags.checkpoint_path;
}

Path checkpoint_file(const TrainFlags& flags) {
  return checkpoint_folder(flags) / "checkpoint.safetensors";
}

KeyValues resolved(const TrainFlags& f) {
  const auto whole = [](std::int64_t value) { return std::to_string(value); };
  KeyValues values = {
      {"model", quoted(f.model)},
      {"data", quoted(f.data)},
      {"model-dir", quoted(f.model_dir)},
      {"epochs", whole(f.epochs)},
      {"batch-size", whole(f.batch_size)},
      {"drop-last", truth(f.drop_last)},
      {"accumulate", whole(f.accumulate)},
      {"seed", large(f.seed)},
      {"optimizer", quoted(f.optimizer)},
      {"lr", number(f.lr)},
      {"momentum", number(f.momentum)},
      {"dampening", number(f.dampening)},
      {"weight-decay", number(f.weight_decay)},
      {"nesterov", truth(f.nesterov)},
      {"beta1", number(f.beta1)},
      {"beta2", number(f.beta2)},
      {"rho", number(f.rho)},
      {"schedule", quoted(f.schedule)},
      {"gamma", number(f.gamma)},
      {"step-epochs", whole(f.step_epochs)},
      {"warmup-epochs", number(f.warmup_epochs)},
      {"warmup-start-ratio", number(f.warmup_start_ratio)},
      {"final-lr-ratio", number(f.final_lr_ratio)},
      {"label-smoothing", number(f.label_smoothing)},
      {"tta", quoted(f.tta)},
      {"lookahead", whole(f.lookahead)},
      {"lookahead-decay", number(f.lookahead_decay)},
      {"crop-padding", whole(f.crop_padding)},
      {"crop-fill", quoted(f.crop_fill)},
      {"flip", quoted(f.flip)},
      {"cutout", whole(f.cutout)},
      {"normalisation", quoted(f.normalisation)},
      {"workers", whole(f.workers)},
      {"device", quoted(f.common.device)},
      {"threads", whole(f.common.thread_count)},
      {"deterministic", truth(f.common.deterministic)},
      {"conv", quoted(f.common.conv)},
      {"conv-algorithm", quoted(f.common.conv_algorithm)},
      {"math", quoted(f.common.math)},
      {"checkpoint-interval", whole(f.checkpoint_interval)},
      {"log-interval", whole(f.log_interval)},
      {"no-resident", truth(f.no_resident)},
      {"no-graph", truth(f.no_graph)},
      {"ranks", whole(f.ranks)},
      {"comm", quoted(f.comm)},
      {"global-batch", truth(f.global_batch)},
      {"lr-scaling", quoted(f.lr_scaling)},
      {"overlap", quoted(f.overlap)},
      {"sync-bn", truth(f.sync_bn)},
      {"wire", quoted(f.wire)},
      {"rank-timeout", whole(f.rank_timeout)},
      {"log-ranks", truth(f.log_ranks)},
  };
  if (f.epsilon) values.emplace_back("epsilon", number(*f.epsilon));
  if (!f.groups.empty()) values.emplace_back("group", list_of_texts(f.groups));
  if (!f.mean.empty()) values.emplace_back("mean", list(f.mean));
  if (!f.std.empty()) values.emplace_back("std", list(f.std));
  if (!f.output_dir.empty()) values.emplace_back("output-dir", quoted(f.output_dir));
  if (!f.hosts.empty()) values.emplace_back("hosts", quoted(f.hosts));
  if (!f.interface.empty()) values.emplace_back("interface", quoted(f.interface));
  if (!f.remote_shell.empty()) values.emplace_back("remote-shell", quoted(f.remote_shell));
  if (!f.checkpoint_path.empty()) values.emplace_back("checkpoint-path", quoted(f.checkpoint_path));
  return values;
}

std::string to_toml(const TrainFlags& flags) {
  std::string text = "# Every setting of this run. `kiln train --config` takes this file.\n";
  for (const auto& [key, value] : resolved(flags)) text += key + " = " + value + "\n";
  return text;
}

}  // namespace kiln
