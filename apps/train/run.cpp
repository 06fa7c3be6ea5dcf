#include "apps/train/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <unistd.h>

#include "apps/common/environment.h"
#include "apps/common/options.h"
#include "apps/train/ranks.h"
#include "apps/train/recorder.h"
#include "apps/train/settings.h"
#include "apps/train/summary.h"
#include "engine/comm/agreement.h"
#include "engine/comm/launch.h"
#include "engine/comm/mpi_communicator.h"
#include "engine/comm/tcp_communicator.h"
#include "engine/comm/thread_communicator.h"
#include "engine/core/error.h"
#include "engine/infer/golden.h"
#include "engine/report/png.h"
#include "engine/train/model_io.h"
#include "engine/train/whitening.h"
#include "models/zoo.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kGoldenPictures = 4;

// What a rank is given.
struct RankPlace {
  Communicator& communicator;
  int local_ranks = 1;                // that share this machine's CPUs
  const DatasetPair* data = nullptr;  // null: the rank reads the data set itself
  RunListener* listener = nullptr;    // of the first rank
};

// Everything that lives as long as the run, in the order of construction.
class Run {
 public:
  Run(const TrainFlags& flags, const RankPlace& place);
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

  int finish(TrainEnd end, const Recorder& recorder, int signal, RunListener* listener);

  const TrainFlags& flags_;
  Communicator& communicator_;
  Clock::time_point begin_ = Clock::now();
  Log log_;
  ThreadPool pool_;
  Context context_;
  Path model_dir_;
  std::optional<DatasetPair> own_data_;
  const DatasetPair& data_;
  ModelSpec spec_;
  Normalisation normalisation_;
  ParameterStore parameters_;
  Conv2dProviders providers_;
  std::optional<Trainer> trainer_;
  std::optional<ResumePoint> resumed_;
  std::optional<double> accuracy_;
};

// Without --log-ranks the others say no more than their warnings.
LogLevel level_of(const TrainFlags& flags, int rank) {
  return rank == 0 || flags.log_ranks ? log_level(flags.common) : LogLevel::quiet;
}

std::string prefix_of(const TrainFlags& flags, const Communicator& communicator) {
  const bool prefixed = communicator.size() > 1 && (flags.log_ranks || communicator.rank() > 0);
  return prefixed ? "[" + std::to_string(communicator.rank()) + "] " : std::string();
}

int threads_of(const TrainFlags& flags, int local_ranks) {
  const int all = thread_count(flags.common);
  return flags.common.thread_count > 0 ? all : std::max(1, all / local_ranks);
}

// Muon's step is as long whatever the batch.
void scale_rates(TrainOptions& options, int ranks) {
  options.schedule.base *= ranks;
  for (ParameterGroup& group : options.optimizer.groups)
    if (group.kind == ParameterGroup::Kind::sgd) group.learning_rate *= ranks;
}

// An observer of a rank that is not the first: its files are the first one's business.
class RankObserver final : public TrainObserver {
 public:
  explicit RankObserver(Log& log) : log_(log) {}
  void loss_logged(std::int64_t step, double loss) override {
    log_.info("step " + std::to_string(step) + ": loss " + std::to_string(loss));
  }
  void epoch_ended(const EpochReport& r) override {
    char text[96];
    std::snprintf(text, sizeof text, "epoch %lld: loss %.4f, %.0f images/s of all ranks",
                  static_cast<long long>(r.epoch), r.train_loss, r.images_per_second);
    log_.info(text);
  }

 private:
  Log& log_;
};

Run::Run(const TrainFlags& flags, const RankPlace& place)
    : flags_(flags),
      communicator_(place.communicator),
      log_(stderr, level_of(flags, communicator_.rank()), prefix_of(flags, communicator_)),
      pool_(threads_of(flags, place.local_ranks)),
      context_(choose_device(flags.common, log_), pool_, log_, flags.common.deterministic),
      model_dir_(flags.model_dir),
      own_data_(place.data ? std::nullopt
                           : std::optional(load_dataset_pair(flags.data, log_, pool_))),
      data_(place.data ? *place.data : *own_data_),
      spec_(find_model(flags.model, data_.train.class_count())),
      normalisation_(choose_normalisation(flags, data_.train, pool_)),
      parameters_(spec_, DType::f32, context_.device(),
                  choose_storage(flags.common, context_.device(), log_)),
      providers_(make_conv2d_providers(flags.common, context_.device(), log_)) {
  if (data_.train.size() == 0)
    throw Error(ErrorKind::input, flags.data, "has no training pictures", "see docs/data.md");
  make_trainer();
}

Path Run::checkpoint() const { return checkpoint_file(flags_); }

void Run::make_trainer() {
  TrainOptions options = train_options(flags_, normalisation_);
  options.checkpoint = checkpoint();
  options.settings = shared_settings(flags_, spec_, data_.train, normalisation_);
  if (communicator_.size() > 1) {
    check_agreement(communicator_, agreed_values(flags_, options.settings, data_.test));
    options.communicator = &communicator_;
    if (flags_.lr_scaling == "linear") scale_rates(options, communicator_.size());
  }
  parameters_.initialise(flags_.seed);
  if (wants_whitening(spec_)) whiten(spec_, data_.train, normalisation_, context_, parameters_);
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
  if (const GradientReducer* reducer = trainer_->reducer())
    log_.info("ranks: " + communicator_.description() + ", gradients in " + reducer->description());
  log_.debug(to_table(plan));
}

RunFacts Run::facts() const {
  return {.device = to_string(context_.device()),
          .train_count = data_.train.size(),
          .test_count = data_.test.size(),
          .batch_count = trainer_->batch_count(),
          .parameter_count = parameters_.trainable_count(),
          .class_count = spec_.class_count,
          .ranks = communicator_.size(),
          .checkpoint = checkpoint(),
          .position = trainer_->position()};
}

int Run::train(SignalWatch& signals, RunListener* listener) {
  const bool first = communicator_.rank() == 0;
  const auto stop_asked = [&] { return signals.pending() != 0; };
  if (!first) {
    announce();
    RankObserver observer(log_);
    const TrainEnd end = trainer_->run(observer, stop_asked);
    if (end == TrainEnd::finished) trainer_->evaluate();
    return end == TrainEnd::stopped && signals.pending() == SIGINT ? 130 : 0;
  }
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
  const TrainEnd end = trainer_->run(recorder, stop_asked);
  if (end == TrainEnd::stopped)
    recorder.line("stopped after step " + std::to_string(trainer_->position().step) +
                  "; go on with --resume");
  return finish(end, recorder, signals.pending(), listener);
}

int Run::finish(TrainEnd end, const Recorder& recorder, int signal, RunListener* listener) {
  save_outputs(end);
  if (listener != nullptr) listener->saved(model_dir_);
  std::printf("waited for data: %.3f s\n", recorder.waited_seconds());
  std::printf("model: %s\n", model_dir_.c_str());
  if (!flags_.no_report) std::printf("report: %s\n", (output_dir() / "report.html").c_str());
  std::fflush(stdout);
  return end == TrainEnd::stopped && signal == SIGINT ? 130 : 0;
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
  if (end == TrainEnd::finished) {
    const Evaluation evaluation = trainer_->evaluate();
    if (data_.test.size() > 0) accuracy_ = evaluation.accuracy();
  }
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

// One rank from its start to its end. What it throws the others are told.
int run_rank(const TrainFlags& flags, SignalWatch& signals, const RankPlace& place) {
  try {
    return Run(flags, place).train(signals, place.listener);
  } catch (const std::exception& error) {
    place.communicator.abandon(std::string("has failed: ") + error.what());
    throw;
  }
}

// The data set is read once, the first rank's exit code is that of all.
int run_threads(const TrainFlags& flags, SignalWatch& signals, int ranks, RunListener* listener) {
  Log log(stderr, log_level(flags.common));
  ThreadPool pool(thread_count(flags.common));
  const DatasetPair data = load_dataset_pair(flags.data, log, pool);
  int code = 0;
  run_thread_ranks(
      {.size = ranks, .deadline = std::chrono::seconds(flags.rank_timeout)},
      [&](Communicator& communicator) {
        const int own = run_rank(flags, signals, {communicator, ranks, &data, listener});
        if (communicator.rank() == 0) code = own;
      });
  return code;
}

// A rank that is in a call of MPI which does not come back can only be ended.
void leave_at_once(int rank, const Error& error, RunListener* listener) {
  std::fprintf(stderr, "[%d] kiln train: %s\n", rank, error.what());
  std::fflush(stderr);
  try {
    if (listener != nullptr) listener->stuck(error);
  } catch (const std::exception&) {
    // The line above has said what there is to say.
  }
  let_other_ranks_speak();
  ::_exit(error.exit_code());
}

int run_process(const TrainFlags& flags, SignalWatch& signals, const RankEnvironment& place,
                RunListener* listener) {
  const WatchOptions options{
      .deadline = std::chrono::seconds(flags.rank_timeout),
      .on_fault =
          [listener](const Error& error) {
            if (listener != nullptr) listener->lost(error);
          },
      .on_stuck = [rank = place.rank,
                   listener](const Error& error) { leave_at_once(rank, error, listener); }};
  const auto communicator = meets_over_tcp(flags, place)
                                ? make_tcp_communicator(meeting_place(place), options)
                                : make_mpi_communicator(options);
  return run_rank(flags, signals, {*communicator, place.local_size, nullptr, listener});
}

}  // namespace

int run_training(const TrainFlags& flags, const std::vector<std::string>& command_line,
                 SignalWatch& signals, RunListener* listener) {
  const RankEnvironment place = rank_environment();
  const RankWay way = way_of_ranks(flags, place);
  if (way == RankWay::launched) return run_process(flags, signals, place, listener);
  Log log(stderr, log_level(flags.common));
  if (way == RankWay::tcp) return launch_here(flags, command_line, signals);
  if (way == RankWay::mpirun_or_threads && can_mpirun(flags, log))
    return launch_mpirun(flags, command_line, signals);
  if (way != RankWay::alone)
    return run_threads(flags, signals, static_cast<int>(flags.ranks), listener);
  if (const std::string several = unknown_launcher(); !several.empty())
    log.warning(several +
                ", but each of these processes trains alone: kiln knows the ranks of Open "
                "MPI's mpirun and of torchrun's variables");
  if (flags.comm != "auto" && flags.ranks == 0)
    log.warning("--comm " + flags.comm +
                " has no ranks: no launcher has started several processes, "
                "and there is no --ranks");
  const auto alone = make_single_communicator();
  return run_rank(flags, signals, {*alone, 1, nullptr, listener});
}

}  // namespace kiln
