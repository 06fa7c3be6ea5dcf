#include "engine/train/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "engine/train/mixed_precision.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

LoaderOptions loader_options(const TrainOptions& o) {
  return {.batch_size = o.batch_size,
          .seed = o.seed,
          .shuffle = true,
          .augmentation = o.augmentation,
          .workers = o.worker_count};
}

}  // namespace

Trainer::Trainer(const ModelSpec& spec, ParameterStore& parameters, const TrainOptions& options,
                 const Dataset& train, const Dataset& test, Context& context,
                 Conv2dProviders& providers)
    : options_(options),
      parameters_(parameters),
      train_(train),
      context_(context),
      optimizer_(options.optimizer, parameters),
      loader_(train, loader_options(options)) {
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
}

void Trainer::resume(const Path& checkpoint) {
  position_ = load_checkpoint(checkpoint, parameters_, optimizer_, options_.settings);
  if (position_.epoch_step >= loader_.batch_count())
    throw Error(ErrorKind::input, checkpoint.string(),
                "stands at step " + std::to_string(position_.epoch_step) +
                    " of an epoch that has " + std::to_string(loader_.batch_count()),
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
bool Trainer::run_epoch(TrainObserver& observer, const std::function<bool()>& stop_requested) {
  context_.mode = Mode::train;
  context_.counter.epoch = static_cast<std::uint32_t>(position_.epoch);
  observer.epoch_began(position_.epoch + 1, loader_.batch_count());
  loader_.start_epoch(context_.counter.epoch, position_.epoch_step);
  waited_before_ = loader_.waited_seconds();
  const double seconds_before = position_.epoch_seconds;
  const auto begin = Clock::now();
  while (const Batch* batch = loader_.next()) {
    take_step(*batch, observer);
    position_.epoch_seconds = seconds_before + seconds_since(begin);
    observer.step_done(position_.epoch_step - 1,
                       position_.epoch_loss_sum / static_cast<double>(position_.epoch_image_count),
                       static_cast<double>(position_.epoch_hit_count) /
                           static_cast<double>(position_.epoch_image_count),
                       static_cast<double>(position_.epoch_image_count) / position_.epoch_seconds);
    const bool last = position_.epoch_step == loader_.batch_count();
    if (!last && stop_requested()) return false;
    if (!last && options_.checkpoint_interval > 0 &&
        position_.step % options_.checkpoint_interval == 0)
      save(observer);
  }
  finish_epoch(observer);
  return position_.epoch == options_.epoch_count || !stop_requested();
}

void Trainer::take_step(const Batch& batch, TrainObserver& observer) {
  TrainPass& pass = pass_for(batch.count);
  context_.counter.step = static_cast<std::uint64_t>(position_.step);
  last_rate_ = rate();
  const BatchResult result =
      pass.run_apart(context_, batch.images, batch.labels, options_.normalisation);
  if (!std::isfinite(result.loss_sum)) diverged(pass, last_rate_);
  optimizer_.step(context_, last_rate_, pass.rest());

  parameters_.set_batches_tracked(parameters_.batches_tracked() + 1);
  position_.step += 1;
  position_.epoch_step += 1;
  position_.epoch_loss_sum += result.loss_sum;
  position_.epoch_hit_count += result.hit_count;
  position_.epoch_image_count += batch.count;
  position_.interval_loss_sum += result.loss_sum / static_cast<double>(batch.count);
  position_.interval_step_count += 1;
  if (options_.log_interval > 0 && position_.step % options_.log_interval == 0) {
    observer.loss_logged(position_.step, position_.interval_loss_sum /
                                             static_cast<double>(position_.interval_step_count));
    position_.interval_loss_sum = 0.0;
    position_.interval_step_count = 0;
  }
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
      .waited_seconds = loader_.waited_seconds() - waited_before_,
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
  save_checkpoint(options_.checkpoint, parameters_, optimizer_, position_, options_.settings);
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

double Trainer::rate() const {
  return learning_rate(options_.schedule, position_.step, loader_.batch_count(),
                       options_.epoch_count);
}

}  // namespace kiln
