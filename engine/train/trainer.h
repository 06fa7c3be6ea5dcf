// Trainer: the order of operations of a training run, its metrics and its checkpoints. It does no
// arithmetic and prints nothing; an observer is told what happened.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/comm/communicator.h"
#include "engine/data/augment.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "engine/train/checkpoint.h"
#include "engine/train/device_step.h"
#include "engine/train/evaluator.h"
#include "engine/train/lookahead.h"
#include "engine/train/optimizer.h"
#include "engine/train/rank_exchange.h"
#include "engine/train/schedule.h"
#include "engine/train/step_gradients.h"
#include "engine/train/train_pass.h"

namespace kiln {

struct TrainOptions {
  std::int64_t epoch_count = 1;
  std::int64_t batch_size = 64;  // of this rank
  bool global_batch = false;     // batch_size is that of all ranks together
  // Micro-batches of batch_size pictures in a step, one after the other: a step as of one batch so
  // many times as large, in the memory of one. On the CPU alone.
  std::int64_t accumulate = 1;
  // The ranks that share every step; null: this one alone. Only the first has an observer's
  // checkpoints and reads and writes the file. On the CPU alone.
  Communicator* communicator = nullptr;
  ReducerOptions reducer;
  // Batch normalisation takes its means over the pictures of all ranks, not of each by itself.
  bool sync_batch_norm = false;
  std::uint64_t seed = 1;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  LookaheadOptions lookahead;
  double label_smoothing = 0.0;
  TestViews test_views = TestViews::none;  // of every evaluation
  bool drop_last = false;                  // leave out an epoch's last step if it is not full
  Augmentation augmentation;
  Normalisation normalisation;
  int worker_count = 0;                  // threads that prefetch batches; 0: assembled in the step
  std::int64_t log_interval = 100;       // steps between two reports of the loss; 0: none
  std::int64_t checkpoint_interval = 0;  // steps between checkpoints inside an epoch; 0: none
  Path checkpoint;                       // empty: none are written
  TrainSettings settings;                // what a resumed run must share
  // On a device other than the CPU. Resident: the data set lies in its memory, if it fits, and a
  // step needs nothing of the host; else the loader makes every batch and sends it.
  bool resident = true;
  bool graph = true;  // a resident step is one graph; false: its ops are queued one by one
};

struct EpochReport {
  std::int64_t epoch = 0;  // from 1
  std::int64_t step = 0;   // steps since the start, after this epoch
  double train_loss = 0.0, train_accuracy = 0.0;
  double test_loss = 0.0, test_accuracy = 0.0;  // NaN without a test set
  double images_per_second = 0.0;
  double learning_rate = 0.0;
  double seconds = 0.0;
  double waited_seconds = 0.0;
};

// Told from the training thread, between steps.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void epoch_began(std::int64_t /*epoch*/, std::int64_t /*batch_count*/) {}
  // After every step, in their order; a resident step is told of up to DeviceStep::kLag steps
  // later, but before the end of its epoch and before a checkpoint. Batch number in the epoch (from
  // 0), running means of the epoch.
  virtual void step_done(std::int64_t /*batch*/, double /*loss*/, double /*accuracy*/,
                         double /*images_per_second*/) {}
  // Every log_interval steps: mean loss of the steps since the last report.
  virtual void loss_logged(std::int64_t /*step*/, double /*loss*/) {}
  virtual void epoch_ended(const EpochReport&) {}
  // What shall be no older than the checkpoint is written now.
  virtual void checkpoint_begins() {}
  virtual void checkpoint_saved(const Path&, const TrainPosition&) {}
};

enum class TrainEnd { finished, stopped };

class Trainer {
 public:
  // All references must outlive the trainer. `test` may be empty; `parameters` are as they shall
  // begin. Everything that a step needs is planned and allocated here, but for the passes of a
  // group that stops, which are planned at that step.
  Trainer(const ModelSpec& spec, ParameterStore& parameters, const TrainOptions& options,
          const Dataset& train, const Dataset& test, Context& context, Conv2dProviders& providers);

  // Goes on from a checkpoint instead of from the start; of several ranks the first alone, the
  // others get it from there. With another number of pictures in a step, what is left of the epoch
  // is cut anew: no picture is left out or seen twice. Throws Error (input).
  void resume(const Path& checkpoint);
  const TrainPosition& position() const { return position_; }
  const TrainPass& pass() const { return *whole_; }
  const GradientReducer* reducer() const { return gradients_->reducer(); }  // null with one rank
  std::int64_t batch_count() const { return loader_->batch_count(); }

  // Trains until the epochs are done or `stop_requested` (asked after every step) says so; then a
  // checkpoint is written first. Throws Error (diverged) naming step, layer and learning rate when
  // a loss is not finite; the last good checkpoint stays.
  TrainEnd run(TrainObserver& observer, const std::function<bool()>& stop_requested);

  // One evaluation of the test set as it stands. Collective: every rank takes its part, with the
  // first rank's running statistics, and gets the whole result.
  Evaluation evaluate();
  // The same by this rank alone, whatever the others do. The visitor sees every picture.
  Evaluation evaluate_alone(const Evaluator::Visitor& visitor);

 private:
  using StopAsked = std::function<bool()>;
  using Clock = std::chrono::steady_clock;

  int rank() const { return options_.communicator ? options_.communicator->rank() : 0; }
  int rank_count() const { return options_.communicator ? options_.communicator->size() : 1; }
  void plan_steps();
  void enter_step(std::int64_t step);
  void make_exchange();
  void check_everyone_has_pictures(std::int64_t step_count) const;
  void make_loader(bool resident);
  void make_resident();
  void settle_position();
  bool run_epoch(TrainObserver& observer, const StopAsked& stop_requested);
  // The rest of an epoch, batches from the loader or resident steps. Say whether it was finished.
  bool take_steps(TrainObserver& observer, const StopAsked& stop_requested);
  bool queue_steps(TrainObserver& observer, const StopAsked& stop_requested);
  void start_resident_epoch();
  void tell_all(TrainObserver& observer);
  void tell(const StepLoss& loss, TrainObserver& observer);
  void take_step(const Batch& batch, TrainObserver& observer, const StopAsked& stop_requested);
  BatchResult run_micro_batches(const Batch& batch);
  bool alone() const { return options_.communicator == nullptr; }
  // A step is done: moves the position on and reports.
  void account(const BatchResult& result, std::int64_t picture_count, TrainObserver& observer);
  void report_step(TrainObserver& observer);
  bool checkpoint_due(std::int64_t step) const;
  void finish_epoch(TrainObserver& observer);
  void save(TrainObserver& observer);
  // `layer`: the first whose output is not finite; empty where none is.
  [[noreturn]] void diverged(const std::string& layer);
  TrainPass& pass_for(std::int64_t count, std::int64_t step_count);
  std::int64_t picture_count(std::int64_t batch) const;
  std::int64_t planned_step() const;
  double rate_of(std::int64_t step) const;
  const Lookahead* lookahead() const { return lookahead_ ? &*lookahead_ : nullptr; }
  // groups_, as they are at `step`.
  void set_groups(std::int64_t step);

  const TrainOptions options_;
  const ModelSpec& spec_;
  ParameterStore& parameters_;
  const Dataset& train_;
  const Dataset& test_;
  Context& context_;
  Conv2dProviders& providers_;
  Optimizer optimizer_;
  std::optional<Lookahead> lookahead_;
  std::optional<StepGradients> gradients_;
  std::optional<RankExchange> exchange_;  // of batch normalisation over all ranks
  std::int64_t unit_ = 1;                 // parts of a step end on multiples of so many pictures
  // By the pictures of a micro-batch and of the whole step, and by the groups that have stopped.
  using PassKey = std::tuple<std::int64_t, std::int64_t, std::uint8_t>;
  std::map<PassKey, std::unique_ptr<TrainPass>> passes_;
  std::vector<GroupStep> groups_;    // of the step under way
  std::uint8_t stopped_ = 0;         // a bit for each of them that has stopped
  std::vector<std::string> paused_;  // their parameters, which the step leaves alone
  TrainPass* whole_ = nullptr;       // of the first micro-batch of a full step
  std::string not_finite_;           // the layer of this rank to blame for the step's loss
  bool stop_agreed_ = false;
  std::int64_t seen_ = 0;  // pictures of the epoch's next step that the run has seen
  std::unique_ptr<DeviceStep> device_step_;  // null: batches come from the loader
  std::optional<Loader> loader_;
  std::optional<Evaluator> evaluator_;
  TrainPosition position_;
  double last_rate_ = 0.0;
  double last_loss_ = std::numeric_limits<double>::quiet_NaN();
  double waited_before_ = 0.0;
  Clock::time_point epoch_began_;
  double epoch_seconds_before_ = 0.0;  // of an epoch that is resumed
};

}  // namespace kiln
