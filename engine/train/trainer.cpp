#include "engine/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/train/mixed_precision.h"

namespace kiln {
namespace {

// A resident step makes its own batches: the loader only draws the order.
LoaderOptions loader_options(const TrainOptions& o, bool resident) {
  return {.batch_size = o.batch_size,
          .seed = o.seed,
          .shuffle = true,
          .augmentation = o.augmentation,
          .workers = resident ? 0 : o.worker_count};
}

}  // namespace

Trainer::Trainer(const ModelSpec& spec, ParameterStore& parameters, const TrainOptions& options,
                 const Dataset& train, const Dataset& test, Context& context,
                 Conv2dProviders& providers)
    : options_(options),
      parameters_(parameters),
      train_(train),
      context_(context),
      optimizer_(options.optimizer, parameters) {
  check_fit(spec, train);
  const auto plan = [&](std::int64_t count) {
    return std::make_unique<TrainPass>(
        spec, parameters, context, providers,
        TrainPassOptions{.batch_size = count, .label_smoothing = options.label_smoothing});
  };
  const std::int64_t whole = std::min(options.batch_size, train.size());
  whole_ = plan(whole);
  if (train.size() % whole != 0) rest_ = plan(train.size() % whole);
  if (test.size() > 0)
    evaluator_.emplace(spec, parameters, options_.normalisation, test, context, providers);
  if (!context.device().is_host()) make_resident();
  loader_.emplace(train, loader_options(options, device_step_ != nullptr));
}

// After the networks, whose memory is needed either way.
void Trainer::make_resident() {
  const std::string streamed =
      "steps: every batch is made by the host and sent to " + to_string(context_.device()) + ", ";
  if (!options_.resident) return context_.log().info(streamed + "as asked for");
  const std::int64_t batch_size = whole_->batch_size();
  try {
    device_step_ = std::make_unique<DeviceStep>(
        train_, optimizer_, context_,
        DeviceStepOptions{.batch_size = batch_size,
                          .batch_count = (train_.size() + batch_size - 1) / batch_size,
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
  position_ = load_checkpoint(checkpoint, parameters_, optimizer_, options_.settings);
  if (position_.epoch_step >= loader_->batch_count())
    throw Error(ErrorKind::input, checkpoint.string(),
                "stands at step " + std::to_string(position_.epoch_step) +
                    " of an epoch that has " + std::to_string(loader_->batch_count()),
                "resume with the data set and batch size that it was written with");
}

TrainEnd Trainer::run(TrainObserver& observer, const std::function<bool()>& stop_requested) {
  context_.counter.seed = options_.seed;
  refresh_copies(context_, parameters_);
  while (position_.epoch < options_.epoch_count)
    if (!run_epoch(observer, stop_requested)) {
      save(observer);
      return TrainEnd::stopped;
    }
  return TrainEnd::finished;
}

// Says whether the epoch was finished.
bool Trainer::run_epoch(TrainObserver& observer, const StopAsked& stop_requested) {
  context_.mode = Mode::train;
  context_.counter.epoch = static_cast<std::uint32_t>(position_.epoch);
  observer.epoch_began(position_.epoch + 1, loader_->batch_count());
  loader_->start_epoch(context_.counter.epoch, position_.epoch_step);
  waited_before_ = loader_->waited_seconds();
  epoch_seconds_before_ = position_.epoch_seconds;
  epoch_began_ = Clock::now();
  const bool finished =
      device_step_ ? queue_steps(observer, stop_requested) : take_steps(observer, stop_requested);
  if (!finished) return false;
  finish_epoch(observer);
  return position_.epoch == options_.epoch_count || !stop_requested();
}

bool Trainer::take_steps(TrainObserver& observer, const StopAsked& stop_requested) {
  while (const Batch* batch = loader_->next()) {
    take_step(*batch, observer);
    report_step(observer);
    if (position_.epoch_step == loader_->batch_count()) break;
    if (stop_requested()) return false;
    if (checkpoint_due(position_.step)) save(observer);
  }
  return true;
}

void Trainer::take_step(const Batch& batch, TrainObserver& observer) {
  TrainPass& pass = pass_for(batch.count);
  context_.counter.step = static_cast<std::uint64_t>(position_.step);
  last_rate_ = rate_of(position_.step);
  const BatchResult result =
      pass.run_apart(context_, batch.images, batch.labels, options_.normalisation);
  if (!std::isfinite(result.loss_sum)) diverged(pass, last_rate_);
  optimizer_.step(context_, last_rate_, pass.rest());
  account(result, batch.count, observer);
}

bool Trainer::queue_steps(TrainObserver& observer, const StopAsked& stop_requested) {
  start_resident_epoch();
  const std::int64_t first_step = position_.step - position_.epoch_step;
  const std::int64_t count = loader_->batch_count();
  for (std::int64_t batch = position_.epoch_step; batch < count;) {
    device_step_->queue(pass_for(picture_count(batch)));
    while (const auto loss = device_step_->finished()) tell(*loss, observer);
    if (++batch == count) break;
    const bool stop = stop_requested(), due = checkpoint_due(first_step + batch);
    if (stop || due) tell_all(observer);
    if (stop) return false;
    if (due) save(observer);
  }
  tell_all(observer);
  return true;
}

void Trainer::start_resident_epoch() {
  const std::int64_t first_step = position_.step - position_.epoch_step;
  std::vector<StepRates> rates;
  for (std::int64_t batch = 0; batch < loader_->batch_count(); ++batch) {
    const std::int64_t step = first_step + batch;
    rates.push_back(
        step_rates(rate_of(step), options_.optimizer.beta1, options_.optimizer.beta2, step + 1));
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
  last_rate_ = rate_of(position_.step);
  // The device stands still at this step, its batch in the network's input.
  if (!std::isfinite(loss.loss_sum)) diverged(pass_for(pictures), last_rate_);
  account({.loss_sum = loss.loss_sum, .hit_count = loss.hit_count}, pictures, observer);
  report_step(observer);
}

void Trainer::account(const BatchResult& result, std::int64_t picture_count,
                      TrainObserver& observer) {
  parameters_.set_batches_tracked(parameters_.batches_tracked() + 1);
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
  if (options_.checkpoint.empty()) return;
  observer.checkpoint_begins();
  const std::int64_t step = std::max<std::int64_t>(position_.step - 1, 0);
  save_checkpoint(options_.checkpoint, parameters_, optimizer_, position_, options_.settings,
                  {.learning_rate = rate_of(step), .loss = last_loss_});
  observer.checkpoint_saved(options_.checkpoint, position_);
}

Evaluation Trainer::evaluate(const Evaluator::Visitor& visitor) {
  return evaluator_ ? evaluator_->run(context_, visitor) : Evaluation{};
}

void Trainer::diverged(TrainPass& pass, double rate) {
  const std::string layer = pass.first_layer_not_finite(context_);
  char text[32];
  std::snprintf(text, sizeof text, "%g", rate);
  throw Error(ErrorKind::diverged, "step " + std::to_string(position_.step + 1),
              "the loss is not finite; the first layer whose output is not finite is " +
                  (layer.empty() ? std::string("the loss itself") : layer) + ", at learning rate " +
                  text,
              "lower --lr; the last good checkpoint was kept");
}

TrainPass& Trainer::pass_for(std::int64_t count) {
  return count == whole_->batch_size() ? *whole_ : *rest_;
}

// Pictures of batch `batch` of an epoch.
std::int64_t Trainer::picture_count(std::int64_t batch) const {
  return std::min(whole_->batch_size(), train_.size() - batch * whole_->batch_size());
}

double Trainer::rate_of(std::int64_t step) const {
  return learning_rate(options_.schedule, step, loader_->batch_count(), options_.epoch_count);
}

}  // namespace kiln
