#include "apps/train/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/train/recorder.h"
#include "apps/train/settings.h"
#include "apps/train/summary.h"
#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "engine/report/png.h"
#include "engine/train/model_io.h"
#include "models/zoo.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kGoldenPictures = 4;

// Everything that lives as long as the run, in the order of construction.
class Run {
 public:
  explicit Run(const TrainFlags& flags);
  int train(SignalWatch& signals, RunListener* listener);

 private:
  void make_trainer();
  void announce();
  std::optional<ResumePoint> resume();
  Path checkpoint() const;
  Path output_dir() const {
    return flags_.output_dir.empty() ? model_dir_ : Path(flags_.output_dir);
  }
  RunFacts facts() const;
  void save_outputs(TrainEnd end);
  void write_report();
  ModelCard card() const;
  bool write_golden_sample(const ModelCard& card);
  void write_model();

  const TrainFlags& flags_;
  Clock::time_point begin_ = Clock::now();
  Log log_;
  ThreadPool pool_;
  Context context_;
  Path model_dir_;
  DatasetPair data_;
  ModelSpec spec_;
  Normalisation normalisation_;
  ParameterStore parameters_;
  Conv2dProviders providers_;
  std::optional<Trainer> trainer_;
  std::optional<ResumePoint> resumed_;
  std::optional<double> accuracy_;
};

Run::Run(const TrainFlags& flags)
    : flags_(flags),
      log_(stderr, log_level(flags.common)),
      pool_(thread_count(flags.common)),
      context_(choose_device(flags.common, log_), pool_, log_, flags.common.deterministic),
      model_dir_(flags.model_dir),
      data_(load_dataset_pair(flags.data, log_, pool_)),
      spec_(find_model(flags.model, data_.train.class_count())),
      normalisation_(choose_normalisation(flags, data_.train, pool_)),
      parameters_(spec_, DType::f32, context_.device(),
                  choose_storage(flags.common, context_.device(), log_)),
      providers_(make_conv2d_providers(flags.common, context_.device(), log_)) {
  if (data_.train.size() == 0)
    throw Error(ErrorKind::input, flags.data, "has no training pictures", "see docs/data.md");
  make_trainer();
}

Path Run::checkpoint() const {
  const Path folder = flags_.checkpoint_path.empty() ? model_dir_ : Path(flags_.checkpoint_path);
  return folder / "checkpoint.safetensors";
}

void Run::make_trainer() {
  TrainOptions options = train_options(flags_, normalisation_);
  options.checkpoint = checkpoint();
  options.settings = shared_settings(flags_, spec_, data_.train, normalisation_);
  parameters_.initialise(flags_.seed);
  trainer_.emplace(spec_, parameters_, options, data_.train, data_.test, context_, providers_);
}

// Nothing is written before every input has been found good.
std::optional<ResumePoint> Run::resume() {
  const bool wanted = flags_.resume || flags_.resume_if_present;
  const bool present = std::filesystem::exists(checkpoint());
  if (!wanted) return std::nullopt;
  if (!present && flags_.resume_if_present) {
    log_.info("resume: no checkpoint at " + checkpoint().string() + ", starting anew");
    return std::nullopt;
  }
  if (!present)
    throw Error(ErrorKind::input, checkpoint().string(), "does not exist",
                "train once without --resume, or use --resume-if-present");
  trainer_->resume(checkpoint());
  const TrainPosition& at = trainer_->position();
  log_.info("resume: " + checkpoint().string() + ", " + std::to_string(at.epoch) + " epochs and " +
            std::to_string(at.epoch_step) + " steps done");
  return ResumePoint{.epoch = at.epoch, .step = at.step};
}

void Run::announce() {
  log_.info("model: " + spec_.name + ", " + std::to_string(parameters_.trainable_count()) +
            " parameters");
  for (const auto& layer : trainer_->pass().network(0).chain().layers())
    log_.debug("layer " + layer->name() + ": " + layer->description());
  const MemoryPlan& plan = trainer_->pass().network(0).memory().plan();
  const std::size_t networks = trainer_->pass().network_count();
  log_.info("memory: " + (networks > 1 ? std::to_string(networks) + " times " : std::string()) +
            std::to_string(plan.arena_bytes >> 10) + " KiB of activations (" +
            std::to_string(plan.separate_bytes >> 10) + " KiB without sharing), " +
            std::to_string(plan.scratch_bytes >> 10) + " KiB of scratch");
  log_.info("threads: " + std::to_string(pool_.thread_count()) +
            (flags_.common.deterministic ? ", deterministic" : "") + ", a batch is shared " +
            trainer_->pass().description());
  log_.debug(to_table(plan));
}

RunFacts Run::facts() const {
  return {.device = to_string(context_.device()),
          .train_count = data_.train.size(),
          .test_count = data_.test.size(),
          .batch_count = trainer_->batch_count(),
          .parameter_count = parameters_.trainable_count(),
          .class_count = spec_.class_count,
          .checkpoint = checkpoint(),
          .position = trainer_->position()};
}

int Run::train(SignalWatch& signals, RunListener* listener) {
  resumed_ = resume();
  announce();
  make_directories(model_dir_);
  make_directories(output_dir());
  if (!flags_.checkpoint_path.empty()) make_directories(flags_.checkpoint_path);
  write_file_atomic(output_dir() / "config.toml", to_toml(flags_));
  Recorder recorder({.folder = output_dir(),
                     .epoch_count = flags_.epochs,
                     .log_interval = flags_.log_interval,
                     .tensorboard = !flags_.no_tensorboard,
                     .resume = resumed_,
                     .listener = listener});
  log_.info(
      "ready: " +
      std::to_string(
          std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin_).count()) +
      " ms from start to first step, data included");
  if (listener != nullptr) listener->ready(facts());
  const TrainEnd end = trainer_->run(recorder, [&] { return signals.pending() != 0; });
  if (end == TrainEnd::stopped)
    recorder.line("stopped after step " + std::to_string(trainer_->position().step) +
                  "; go on with --resume");
  save_outputs(end);
  if (listener != nullptr) listener->saved(model_dir_);
  std::printf("waited for data: %.3f s\n", recorder.waited_seconds());
  std::printf("model: %s\n", model_dir_.c_str());
  if (!flags_.no_report) std::printf("report: %s\n", (output_dir() / "report.html").c_str());
  std::fflush(stdout);
  return end == TrainEnd::stopped && signals.pending() == SIGINT ? 130 : 0;
}

ModelCard Run::card() const {
  const DatasetInfo& info = data_.train.info();
  ModelCard card{.name = spec_.name,
                 .spec = to_json(spec_),
                 .classes = info.class_names,
                 .input_height = spec_.height,
                 .input_width = spec_.width,
                 .input_channels = spec_.channels,
                 .accuracy = accuracy_,
                 .data_name = info.name,
                 .data_origin = info.origin,
                 .synthetic = info.synthetic};
  set_normalisation(card, normalisation_);
  return card;
}

// The first pictures and what the saved weights make of them, on the CPU and in f32, whatever the
// training ran on. Returns whether the model can be served at all.
bool Run::write_golden_sample(const ModelCard& card) {
  const Dataset& data = data_.test.size() > 0 ? data_.test : data_.train;
  const std::int64_t count = std::min(data.size(), kGoldenPictures);
  const std::int64_t size = spec_.height * spec_.width * spec_.channels;
  try {
    infer::Session session(infer::Model::load(model_dir_, {card, spec_}), {.max_batch = 1}, log_);
    const auto pictures = data.images().first(static_cast<std::size_t>(count * size));
    write_golden(model_dir_ / kGoldenFile, spec_, make_golden(session, pictures));
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported) throw;
    log_.info(std::string("no golden sample: ") + error.what());
    return false;
  }
}

// The card goes last: it tells what the other files are.
void Run::write_model() {
  save_weights(model_dir_, parameters_);
  ModelCard made = card();
  made.files.push_back(digest_file(model_dir_, kWeightsFile));
  if (write_golden_sample(made)) made.files.push_back(digest_file(model_dir_, kGoldenFile));
  write_model_card(model_dir_ / kCardFile, made);
}

void Run::save_outputs(TrainEnd end) {
  if (end == TrainEnd::finished && data_.test.size() > 0)
    accuracy_ = trainer_->evaluate().accuracy();
  write_model();
  const Picture filters = first_filters(parameters_);
  if (!filters.empty()) write_png(output_dir() / "filters.png", filters);
  if (!flags_.no_report) write_report();
}

void Run::write_report() {
  const MetricsLog metrics = read_metrics(output_dir() / "metrics.jsonl");
  ReportData report{.model_name = spec_.name,
                    .data_name = data_.train.info().name,
                    .synthetic = data_.train.info().synthetic,
                    .epochs = metrics.epochs,
                    .steps = metrics.steps,
                    .class_names = data_.train.info().class_names,
                    .parameter_count = parameters_.trainable_count(),
                    .device = to_string(context_.device()),
                    .thread_count = pool_.thread_count(),
                    .filters = first_filters(parameters_)};
  for (const EpochMetrics& epoch : metrics.epochs) report.total_seconds += epoch.seconds;
  if (resumed_ && resumed_->epoch > 0) report.resumed_after_epochs.push_back(resumed_->epoch);
  for (const auto& [key, value] : resolved(flags_)) report.configuration.push_back({key, value});
  for (const auto& [key, value] : environment_info(pool_.thread_count()))
    report.environment.push_back({key, value});
  report.environment.push_back({"data set", data_.train.info().origin});
  for (const auto& layer : trainer_->pass().network(0).chain().layers())
    report.environment.push_back({"layer " + layer->name(), layer->description()});
  if (data_.test.size() > 0) add_evaluation(report, *trainer_, data_.test, flags_.seed);
  write_html_report(output_dir() / "report.html", report);
}

}  // namespace

int run_training(const TrainFlags& flags, SignalWatch& signals, RunListener* listener) {
  Run run(flags);
  return run.train(signals, listener);
}

}  // namespace kiln
