#include "engine/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/core/transfer.h"
#include "engine/train/mixed_precision.h"
#include "engine/train/rank_state.h"

namespace kiln {
namespace {

// Part `part` of `count` pictures.
std::int64_t share_of(std::int64_t count, int part, int parts, std::int64_t unit) {
  return part_begin(count, part + 1, parts, unit) - part_begin(count, part, parts, unit);
}

}  // namespace

Trainer::Trainer(const ModelSpec& spec, ParameterStore& parameters, const TrainOptions& options,
                 const Dataset& train, const Dataset& test, Context& context,
                 Conv2dProviders& providers)
    : options_(options),
      spec_(spec),
      parameters_(parameters),
      train_(train),
      test_(test),
      context_(context),
      providers_(providers),
      optimizer_(options.optimizer, parameters) {
  check_fit(spec, train);
  const int ranks = rank_count();
  if (ranks > 1 && !context.device().is_host())
    throw Error(ErrorKind::unsupported, to_string(context.device()),
                "cannot share a run with other ranks yet", "use --device cpu, or one rank");
  if (options.accumulate > 1 && !context.device().is_host())
    throw Error(ErrorKind::unsupported, to_string(context.device()),
                "cannot accumulate gradients over micro-batches yet",
                "use --device cpu, or --accumulate 1");
  if (options.lookahead.interval != 0) lookahead_.emplace(options.lookahead, parameters);
  const std::int64_t slice = exact_slice_size(spec, parameters, context);
  unit_ = std::max<std::int64_t>(1, slice);
  gradients_.emplace(parameters, context,
                     StepGradientsOptions{.communicator = options.communicator,
                                          .reducer = options.reducer,
                                          .accumulates = options.accumulate > 1,
                                          .exact = slice > 0});
  make_exchange();
  make_loader(false);  // the number of steps, by which groups go, is the loader's to say
  set_groups(0);
  plan_steps();
  if (test.size() > 0)
    evaluator_.emplace(
        spec, parameters, options_.normalisation, test, context, providers,
        EvaluatorOptions{.views = options_.test_views, .rank = rank(), .rank_count = ranks});
  if (context.device().is_host()) return;
  make_resident();
  if (device_step_) make_loader(true);
}

void Trainer::make_exchange() {
  std::int64_t channels = 0;
  for (const Parameter& p : parameters_.all())
    if (p.role == ParameterRole::running_mean)
      channels = std::max(channels, p.value.element_count());
  if (options_.sync_batch_norm && rank_count() > 1 && channels > 0)
    exchange_.emplace(*options_.communicator, channels);
}

// Ranks meet in every layer of every micro-batch.
void Trainer::check_everyone_has_pictures(std::int64_t step_count) const {
  const std::int64_t wanted = rank_count() * options_.accumulate;
  if (exchange_ && step_count > 0 && step_count < wanted)
    throw Error(ErrorKind::usage, "a step of " + std::to_string(step_count) + " pictures",
                "has none for some rank or micro-batch, of which there are " +
                    std::to_string(wanted) + ", and --sync-bn needs one for each",
                "change --batch-size, so that the last step of an epoch is larger");
}

// A pass for each size that a micro-batch of an epoch has.
void Trainer::plan_steps() {
  const int ranks = rank_count();
  const auto micro_batches = static_cast<int>(options_.accumulate);
  const std::int64_t step =
      std::min(options_.batch_size * options_.accumulate * (options_.global_batch ? 1 : ranks),
               train_.size());
  if ((step + unit_ - 1) / unit_ < ranks)
    throw Error(ErrorKind::usage, "a step of " + std::to_string(step) + " pictures",
                "cannot be shared by " + std::to_string(ranks) + " ranks" +
                    (unit_ > 1 ? " in slices of " + std::to_string(unit_) : ""),
                unit_ > 1 ? "use a larger --batch-size, fewer ranks, or no --deterministic"
                          : "use a larger --batch-size, or fewer ranks");
  const std::int64_t last = options_.drop_last ? 0 : train_.size() % step;
  for (const std::int64_t count : {step, last}) {
    check_everyone_has_pictures(count);
    const std::int64_t mine = share_of(count, rank(), ranks, unit_);
    for (int i = 0; i < micro_batches; ++i)
      if (const std::int64_t part = share_of(mine, i, micro_batches, unit_); part > 0) {
        TrainPass& pass = pass_for(part, count);
        if (whole_ == nullptr) whole_ = &pass;
      }
  }
}

// A resident step makes its own batches: the loader only draws the order.
void Trainer::make_loader(bool resident) {
  loader_.emplace(train_, LoaderOptions{.batch_size = options_.batch_size * options_.accumulate,
                                        .seed = options_.seed,
                                        .shuffle = true,
                                        .augmentation = options_.augmentation,
                                        .workers = resident ? 0 : options_.worker_count,
                                        .drop_last = options_.drop_last,
                                        .rank = rank(),
                                        .rank_count = rank_count(),
                                        .step_size = options_.global_batch
                                                         ? options_.batch_size * options_.accumulate
                                                         : 0,
                                        .unit = unit_});
}

// After the networks, whose memory is needed either way.
void Trainer::make_resident() {
  const std::string streamed =
      "steps: every batch is made by the host and sent to " + to_string(context_.device()) + ", ";
  if (!options_.resident) return context_.log().info(streamed + "as asked for");
  const std::int64_t batch_size = whole_->batch_size();
  try {
    device_step_ =
        std::make_unique<DeviceStep>(train_, optimizer_, context_,
                                     DeviceStepOptions{.batch_size = batch_size,
                                                       .batch_count = loader_->batch_count(),
                                                       .augmentation = options_.augmentation,
                                                       .normalisation = options_.normalisation,
                                                       .graph = options_.graph});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io) throw;
    return context_.log().info(streamed + "since the data set does not fit: " + error.what());
  }
  context_.log().info("steps: " + device_step_->description());
}

void Trainer::resume(const Path& checkpoint) {
  position_ = load_checkpoint(checkpoint, parameters_, optimizer_, options_.settings, lookahead());
  if (position_.epoch_image_count >= train_.size() ||
      position_.epoch_step > position_.epoch_image_count)
    throw Error(ErrorKind::input, checkpoint.string(),
                "stands at step " + std::to_string(position_.epoch_step) + ", picture " +
                    std::to_string(position_.epoch_image_count) + " of an epoch that has " +
                    std::to_string(train_.size()),
                "resume with the data set that it was written with");
  settle_position();
  if (device_step_ && seen_ > 0)
    throw Error(ErrorKind::unsupported, checkpoint.string(),
                "stands within a step of this batch size", "use --device cpu, or its batch size");
}

// Within its epoch the position is counted in this run's steps. How many were taken stays as it is.
void Trainer::settle_position() {
  const std::int64_t step = loader_->step_size(), pictures = position_.epoch_image_count;
  position_.epoch_step = pictures / step;
  seen_ = pictures % step;
}

TrainEnd Trainer::run(TrainObserver& observer, const std::function<bool()>& stop_requested) {
  if (!alone())
    share_state(*options_.communicator, parameters_, optimizer_, lookahead(), position_, seen_);
  // Ranks draw masks of their own.
  context_.counter.seed = options_.seed + 0x9E3779B97F4A7C15u * static_cast<std::uint64_t>(rank());
  refresh_copies(context_, parameters_);
  while (position_.epoch < options_.epoch_count)
    if (!run_epoch(observer, stop_requested)) {
      save(observer);
      return TrainEnd::stopped;
    }
  return TrainEnd::finished;
}

// What `step` does to the groups. Where one of them stops, passes that leave its gradients out take
// the place of those before; it happens once a group.
void Trainer::enter_step(std::int64_t step) {
  static_assert(kMostGroups <= 8, "a bit for each");
  set_groups(step);
  std::uint8_t stopped = 0;
  for (std::size_t g = 0; g < groups_.size(); ++g)
    if (!groups_[g].active) stopped = static_cast<std::uint8_t>(stopped | 1u << g);
  if (stopped == stopped_) return;
  stopped_ = stopped;
  paused_ = optimizer_.paused(groups_);
  for (const std::string& name : paused_) {
    const Tensor gradient = parameters_.find(name).gradient;
    fill_bytes(gradient.device(), gradient.raw(), 0, gradient.size_bytes());
  }
  context_.log().debug("step " + std::to_string(step) + ": " + std::to_string(paused_.size()) +
                       " parameters are left alone from now on");
  whole_ = nullptr;
  if (!device_step_) passes_.clear();  // a device's graphs know theirs by address
  plan_steps();
}

// Says whether the epoch was finished.
bool Trainer::run_epoch(TrainObserver& observer, const StopAsked& stop_requested) {
  context_.mode = Mode::train;
  context_.counter.epoch = static_cast<std::uint32_t>(position_.epoch);
  observer.epoch_began(position_.epoch + 1, loader_->batch_count());
  loader_->start_epoch(context_.counter.epoch, position_.epoch_step, std::exchange(seen_, 0));
  waited_before_ = loader_->waited_seconds();
  epoch_seconds_before_ = position_.epoch_seconds;
  epoch_began_ = Clock::now();
  const bool finished =
      device_step_ ? queue_steps(observer, stop_requested) : take_steps(observer, stop_requested);
  if (!finished) return false;
  finish_epoch(observer);
  return position_.epoch == options_.epoch_count || !(alone() ? stop_requested() : stop_agreed_);
}

bool Trainer::take_steps(TrainObserver& observer, const StopAsked& stop_requested) {
  while (const Batch* batch = loader_->next()) {
    take_step(*batch, observer, stop_requested);
    report_step(observer);
    if (position_.epoch_step == loader_->batch_count()) break;
    if (alone() ? stop_requested() : stop_agreed_) return false;
    if (checkpoint_due(position_.step)) save(observer);
  }
  return true;
}

// Whether anybody has been asked to stop travels with the gradients, so that all ranks stop behind
// the same step.
void Trainer::take_step(const Batch& batch, TrainObserver& observer,
                        const StopAsked& stop_requested) {
  check_everyone_has_pictures(batch.step_count);
  enter_step(planned_step());
  last_rate_ = rate_of(planned_step());
  gradients_->begin(context_);
  const BatchResult own = run_micro_batches(batch);
  double sums[] = {own.loss_sum, static_cast<double>(own.hit_count),
                   !alone() && stop_requested() ? 1.0 : 0.0};
  gradients_->finish(context_, sums);
  if (!std::isfinite(sums[0]))
    diverged(std::isfinite(own.loss_sum) ? std::string("another rank's") : not_finite_);
  stop_agreed_ = sums[2] > 0;
  optimizer_.step(context_, last_rate_, gradients_->rest(), groups_);
  if (lookahead_ && lookahead_->after_step(context_, planned_step() + 1,
                                           loader_->batch_count() * options_.epoch_count))
    refresh_copies(context_, parameters_);
  account({.loss_sum = sums[0], .hit_count = static_cast<std::int64_t>(sums[1])}, batch.step_count,
          observer);
}

// This rank's part of a step. Each micro-batch draws its own dropout masks. One that is not finite
// is looked into at once: the next takes its memory.
BatchResult Trainer::run_micro_batches(const Batch& batch) {
  const auto parts = static_cast<int>(options_.accumulate);
  const std::size_t picture_bytes =
      batch.count == 0 ? 0 : batch.images.size() / static_cast<std::size_t>(batch.count);
  BatchResult sum;
  not_finite_.clear();
  for (int i = 0; i < parts; ++i) {
    const std::int64_t begin = part_begin(batch.count, i, parts, unit_);
    const std::int64_t end = part_begin(batch.count, i + 1, parts, unit_);
    if (begin == end) continue;
    const auto first = static_cast<std::size_t>(begin),
               count = static_cast<std::size_t>(end - begin);
    context_.counter.step = static_cast<std::uint64_t>(position_.step * parts + i);
    TrainPass& pass = pass_for(end - begin, batch.step_count);
    context_.channel_exchange = exchange_ ? &*exchange_ : nullptr;
    const BatchResult result =
        gradients_->add(context_, pass,
                        {batch.images.subspan(first * picture_bytes, count * picture_bytes),
                         batch.labels.subspan(first, count)},
                        options_.normalisation, end == batch.count);
    context_.channel_exchange = nullptr;
    sum.loss_sum += result.loss_sum;
    sum.hit_count += result.hit_count;
    if (!std::isfinite(result.loss_sum) && not_finite_.empty())
      not_finite_ = pass.first_layer_not_finite(context_);
  }
  return sum;
}

bool Trainer::queue_steps(TrainObserver& observer, const StopAsked& stop_requested) {
  start_resident_epoch();
  const std::int64_t first_step = planned_step() - position_.epoch_step;
  const std::int64_t first_taken = position_.step - position_.epoch_step;
  const std::int64_t count = loader_->batch_count();
  for (std::int64_t batch = position_.epoch_step; batch < count;) {
    enter_step(first_step + batch);  // what is queued runs ahead of position_
    device_step_->queue(pass_for(picture_count(batch), picture_count(batch)), groups_);
    while (const auto loss = device_step_->finished()) tell(*loss, observer);
    if (++batch == count) break;
    const bool stop = stop_requested(), due = checkpoint_due(first_taken + batch);
    if (stop || due) tell_all(observer);
    if (stop) return false;
    if (due) save(observer);
  }
  tell_all(observer);
  return true;
}

void Trainer::start_resident_epoch() {
  const std::int64_t first_step = planned_step() - position_.epoch_step;
  const std::int64_t first_taken = position_.step - position_.epoch_step;
  std::vector<StepRates> rates;
  for (std::int64_t batch = 0; batch < loader_->batch_count(); ++batch) {
    const std::int64_t step = first_step + batch;
    // Steps that a resume has left behind are not taken again: their rates are not read.
    const std::int64_t taken = std::max<std::int64_t>(first_taken + batch + 1, 1);
    rates.push_back(
        step_rates(rate_of(step), options_.optimizer.beta1, options_.optimizer.beta2, taken));
    set_groups(step);
    for (std::size_t g = 0; g < groups_.size(); ++g)
      rates.back().group_rates[g] = groups_[g].learning_rate;
  }
  device_step_->start_epoch({.seed = options_.seed,
                             .step = static_cast<std::uint64_t>(position_.step),
                             .batch = static_cast<std::uint64_t>(position_.epoch_step),
                             .epoch = context_.counter.epoch},
                            loader_->order(), rates);
}

void Trainer::tell_all(TrainObserver& observer) {
  while (const auto loss = device_step_->wait()) tell(*loss, observer);
}

void Trainer::tell(const StepLoss& loss, TrainObserver& observer) {
  KILN_CHECK(static_cast<std::int64_t>(loss.step) == position_.step);
  const std::int64_t pictures = picture_count(position_.epoch_step);
  context_.counter.step = loss.step;
  last_rate_ = rate_of(planned_step());
  // The device stands still at this step, its batch in the network's input.
  if (!std::isfinite(loss.loss_sum)) {
    enter_step(planned_step());  // what is queued may be of other groups
    diverged(pass_for(pictures, pictures).first_layer_not_finite(context_));
  }
  account({.loss_sum = loss.loss_sum, .hit_count = loss.hit_count}, pictures, observer);
  report_step(observer);
}

void Trainer::account(const BatchResult& result, std::int64_t picture_count,
                      TrainObserver& observer) {
  parameters_.set_batches_tracked(parameters_.batches_tracked() +
                                  std::max<std::int64_t>(1, gradients_->added_count()));
  position_.step += 1;
  position_.epoch_step += 1;
  position_.epoch_loss_sum += result.loss_sum;
  position_.epoch_hit_count += result.hit_count;
  position_.epoch_image_count += picture_count;
  last_loss_ = result.loss_sum / static_cast<double>(picture_count);
  position_.interval_loss_sum += last_loss_;
  position_.interval_step_count += 1;
  if (options_.log_interval > 0 && position_.step % options_.log_interval == 0) {
    observer.loss_logged(position_.step, position_.interval_loss_sum /
                                             static_cast<double>(position_.interval_step_count));
    position_.interval_loss_sum = 0.0;
    position_.interval_step_count = 0;
  }
}

void Trainer::report_step(TrainObserver& observer) {
  position_.epoch_seconds =
      epoch_seconds_before_ + std::chrono::duration<double>(Clock::now() - epoch_began_).count();
  const auto pictures = static_cast<double>(position_.epoch_image_count);
  observer.step_done(position_.epoch_step - 1, position_.epoch_loss_sum / pictures,
                     static_cast<double>(position_.epoch_hit_count) / pictures,
                     pictures / position_.epoch_seconds);
}

bool Trainer::checkpoint_due(std::int64_t step) const {
  return options_.checkpoint_interval > 0 && step % options_.checkpoint_interval == 0;
}

void Trainer::finish_epoch(TrainObserver& observer) {
  const auto images = static_cast<double>(position_.epoch_image_count);
  EpochReport report{
      .epoch = position_.epoch + 1,
      .step = position_.step,
      .train_loss = position_.epoch_loss_sum / images,
      .train_accuracy = static_cast<double>(position_.epoch_hit_count) / images,
      .test_loss = std::numeric_limits<double>::quiet_NaN(),
      .test_accuracy = std::numeric_limits<double>::quiet_NaN(),
      .images_per_second = images / position_.epoch_seconds,
      .learning_rate = last_rate_,
      .seconds = position_.epoch_seconds,
      .waited_seconds = loader_->waited_seconds() - waited_before_,
  };
  if (evaluator_) {
    const Evaluation evaluation = evaluate();
    report.test_loss = evaluation.loss;
    report.test_accuracy = evaluation.accuracy();
  }
  const TrainPosition done = position_;
  position_ = {.epoch = done.epoch + 1,
               .step = done.step,
               .interval_loss_sum = done.interval_loss_sum,
               .interval_step_count = done.interval_step_count};
  observer.epoch_ended(report);
  save(observer);
}

void Trainer::save(TrainObserver& observer) {
  if (!alone()) check_equal_weights(*options_.communicator, parameters_, position_.step);
  if (options_.checkpoint.empty() || rank() != 0) return;
  observer.checkpoint_begins();
  const std::int64_t step = std::max<std::int64_t>(planned_step() - 1, 0);
  save_checkpoint(options_.checkpoint, parameters_, optimizer_, position_, options_.settings,
                  {.learning_rate = rate_of(step), .loss = last_loss_}, lookahead());
  observer.checkpoint_saved(options_.checkpoint, position_);
}

Evaluation Trainer::evaluate() {
  if (!evaluator_) return {};
  if (alone()) return evaluator_->run(context_);
  share_statistics(*options_.communicator, parameters_);
  return add_up(*options_.communicator, evaluator_->run(context_));
}

Evaluation Trainer::evaluate_alone(const Evaluator::Visitor& visitor) {
  if (!evaluator_) return {};
  if (alone()) return evaluator_->run(context_, visitor);
  return Evaluator(spec_, parameters_, options_.normalisation, test_, context_, providers_,
                   {.views = options_.test_views})
      .run(context_, visitor);
}

void Trainer::diverged(const std::string& layer) {
  char rate[32];
  std::snprintf(rate, sizeof rate, "%g", last_rate_);
  throw Error(
      ErrorKind::diverged, "step " + std::to_string(position_.step + 1),
      "the loss is not finite; the first layer whose output is not finite is " +
          (layer.empty() ? std::string("the loss itself") : layer) + ", at learning rate " + rate,
      options_.checkpoint.empty() ? "lower --lr" : "lower --lr; the last good checkpoint was kept");
}

// Planned before the first step, but for the rest of a step after a resume.
TrainPass& Trainer::pass_for(std::int64_t count, std::int64_t step_count) {
  std::unique_ptr<TrainPass>& pass = passes_[{count, step_count, stopped_}];
  if (!pass)
    pass = std::make_unique<TrainPass>(spec_, parameters_, context_, providers_,
                                       TrainPassOptions{.batch_size = count,
                                                        .mean_over = step_count,
                                                        .label_smoothing = options_.label_smoothing,
                                                        .paused = paused_,
                                                        .exact = gradients_->exact()});
  return *pass;
}

// Pictures of batch `batch` of an epoch.
std::int64_t Trainer::picture_count(std::int64_t batch) const {
  return std::min(whole_->batch_size(), train_.size() - batch * whole_->batch_size());
}

void Trainer::set_groups(std::int64_t step) {
  groups_.clear();
  for (const ParameterGroup& group : options_.optimizer.groups) {
    ScheduleOptions schedule = options_.schedule;
    schedule.base = group.learning_rate;
    const bool over =
        group.until_epochs > 0 && step >= steps_in(group.until_epochs, loader_->batch_count());
    groups_.push_back({over ? 0.0
                            : learning_rate(schedule, step, loader_->batch_count(),
                                            options_.epoch_count, group.until_epochs),
                       !over});
  }
}

// The step that schedules go by, which know epochs of this run's steps alone. After a resume with
// another number of ranks it is not the number of steps that were taken.
std::int64_t Trainer::planned_step() const {
  return position_.epoch * loader_->batch_count() + position_.epoch_step;
}

double Trainer::rate_of(std::int64_t step) const {
  return learning_rate(options_.schedule, step, loader_->batch_count(), options_.epoch_count);
}

}  // namespace kiln
