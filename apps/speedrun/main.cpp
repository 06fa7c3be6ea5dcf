// kiln-speedrun: how fast a recipe trains, and how well, over many runs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/signals.h"
#include "apps/common/text.h"
#include "apps/common/words.h"
#include "apps/speedrun/one_run.h"
#include "apps/speedrun/output.h"
#include "apps/train/settings.h"
#include "engine/core/backend.h"
#include "engine/core/error.h"
#include "models/zoo.h"

namespace kiln {
namespace {

constexpr const char* kFooter = R"(
Every other flag is one of kiln train (kiln train --help): the recipe, the data, the device. Run i
has the seed --seed + i. With --json FILE a series that was stopped goes on: runs in the file are
kept, whatever --runs says.

examples:
  kiln speedrun --runs 5 --data data/cifar10 --epochs 2 --json runs.json --plot runs.svg
  kiln speedrun --runs 10 --data data/cifar10 --recipe speedrun94 --json speedrun94.json
)";

struct SpeedrunFlags {
  std::int64_t run_count = 5;
  std::string json, plot;
  TrainFlags train;
};

// Its own flags out of the words; all the others are kiln train's.
TrainFlags parse_others(const CLI::App& app, char* program) {
  std::vector<std::string> words = app.remaining();
  std::vector<char*> argv = {program};
  for (std::string& word : words) argv.push_back(word.data());
  return parse_train_flags(static_cast<int>(argv.size()), argv.data());
}

void refuse_alien(const TrainFlags& f) {
  const auto refuse = [](bool given, const char* flag) {
    if (given)
      throw Error(ErrorKind::usage, flag, "means nothing to a series of runs",
                  "see kiln speedrun --help");
  };
  const TrainFlags plain;
  refuse(f.resume || f.resume_if_present, "--resume");
  refuse(f.model_dir != plain.model_dir, "--model-dir");
  refuse(!f.output_dir.empty(), "--output-dir");
  refuse(!f.checkpoint_path.empty() || f.checkpoint_interval > 0, "--checkpoint-interval");
  refuse(f.ranks > 1, "--ranks");
}

SpeedrunFlags parse(int argc, char** argv) {
  SpeedrunFlags o;
  CLI::App app("Repeats a complete training run: accuracy and seconds of each, and their means",
               "kiln speedrun");
  app.footer(kFooter);
  app.add_option("--runs", o.run_count, "Runs of the series")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--json", o.json, "Keep the results in this file, after every run");
  app.add_option("--plot", o.plot, "Draw accuracy against seconds into this SVG file");
  app.set_version_flag("--version", "kiln " + version(), "Print the version and leave");
  parse_known_flags(app, argc, argv);
  o.train = parse_others(app, argv[0]);
  refuse_alien(o.train);
  return o;
}

NamedTexts settings_of(const TrainFlags& flags) {
  NamedTexts settings;
  constexpr std::string_view kNoMatter[] = {"model-dir", "log-interval", "threads", "device"};
  for (const auto& [name, value] : resolved(flags))
    if (std::ranges::find(kNoMatter, name) == std::end(kNoMatter))
      settings.emplace_back(name, value);
  return settings;
}

NamedTexts environment_of(const Track& track) {
  const Context& context = track.context;
  const DatasetPair& data = track.data;
  NamedTexts environment = environment_info(context.pool().thread_count());
  const Device device = context.device();
  environment.emplace_back("device", to_string(device));
  if (!device.is_host()) environment.emplace_back("GPU", device.backend->describe(device.index));
  const DatasetInfo& info = data.train.info();
  environment.emplace_back("pictures", std::to_string(data.train.size()) + " training, " +
                                           std::to_string(data.test.size()) + " test, " +
                                           info.name + (info.synthetic ? " (SYNTHETIC)" : ""));
  environment.emplace_back("network", fingerprint(track.spec));
  environment.emplace_back("training set", fingerprint(data.train));
  environment.emplace_back("test set", fingerprint(data.test));
  return environment;
}

void check_data(const SpeedrunFlags& o, const DatasetPair& data) {
  if (data.train.size() == 0)
    throw Error(ErrorKind::input, o.train.data, "has no training pictures", "see docs/data.md");
  if (data.test.size() == 0)
    throw Error(ErrorKind::input, o.train.data, "has no test pictures to score a run on",
                "see docs/data.md");
}

// Before hours of work, not behind them.
void check_outputs(const SpeedrunFlags& o) {
  for (const std::string& path : {o.json, o.plot})
    if (!path.empty()) check_writable(path);
}

// What an earlier call has finished of the same series.
void take_finished(Series& series, const SpeedrunFlags& o, Log& log) {
  std::error_code error;
  if (o.json.empty() || !std::filesystem::exists(o.json, error)) return;
  Series found = read_series(o.json);
  check_same(found, series, o.json);
  series.runs = std::move(found.runs);
  log.info("resume: " + std::to_string(series.runs.size()) + " finished runs in " + o.json);
}

void save(const Series& series, const SpeedrunFlags& o) {
  if (!o.json.empty()) write_file_atomic(o.json, to_json(series));
  if (!o.plot.empty()) write_file_atomic(o.plot, to_plot(series));
}

void run_all(Series& series, const SpeedrunFlags& o, Track& track, SignalWatch& signals) {
  Log& log = track.context.log();
  while (static_cast<std::int64_t>(series.runs.size()) < o.run_count) {
    const std::uint64_t seed = o.train.seed + series.runs.size();
    series.runs.push_back(run_once(track, seed, [&] { return signals.pending(); }));
    save(series, o);
    const RunResult& run = series.runs.back();
    log.info("run " + std::to_string(series.runs.size()) + " of " + std::to_string(o.run_count) +
             ": " + percent_text(run.accuracy) + " in " + fixed_text(run.seconds(), 2) + " s");
    signals.stop_if_asked();
  }
}

void print(const Series& series) {
  const std::string text = to_table(series);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// A stopped series says what it has.
void run_or_stop(Series& series, const SpeedrunFlags& o, Track& track, SignalWatch& signals) {
  try {
    run_all(series, o, track, signals);
  } catch (const Stopped& stopped) {
    if (series.runs.empty()) throw;
    print(series);
    const std::string runs = std::to_string(series.runs.size()) + " finished runs are ";
    throw Stopped{stopped.signal, runs + (o.json.empty() ? "above" : "in " + o.json)};
  }
}

int run(int argc, char** argv) {
  const SpeedrunFlags o = parse(argc, argv);
  check_outputs(o);
  SignalWatch signals;
  Log log(stderr, log_level(o.train.common));
  ThreadPool pool(thread_count(o.train.common));
  Context context(choose_device(o.train.common, log), pool, log, o.train.common.deterministic);
  const DatasetPair data = load_dataset_pair(o.train.data, log, pool);
  check_data(o, data);
  Conv2dProviders providers = make_conv2d_providers(o.train.common, context.device(), log);
  Track track{o.train,
              data,
              find_model(o.train.model, data.train.class_count()),
              choose_storage(o.train.common, context.device(), log),
              context,
              providers};
  Series series{.settings = settings_of(o.train), .environment = environment_of(track)};
  take_finished(series, o, log);
  run_or_stop(series, o, track, signals);
  save(series, o);
  print(series);
  return 0;
}

}  // namespace
}  // namespace kiln

int main(int argc, char** argv) { return kiln::run_app("kiln speedrun", argc, argv, kiln::run); }
