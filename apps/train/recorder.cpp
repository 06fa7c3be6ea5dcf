#include "apps/train/recorder.h"

#include <cstdio>

namespace kiln {
namespace {

ProgressOptions progress_options(std::int64_t log_interval) {
  ProgressOptions options = detect_progress_options(stdout);
  options.log_interval = log_interval;
  return options;
}

}  // namespace

Recorder::Recorder(const RecorderOptions& options)
    : epoch_count_(options.epoch_count),
      listener_(options.listener),
      metrics_(options.folder / "metrics.jsonl", options.resume) {
  if (listener_ == nullptr) progress_.emplace(stdout, progress_options(options.log_interval));
  if (options.tensorboard) tensorboard_.emplace(options.folder / "tensorboard", options.resume);
}

void Recorder::line(std::string_view text) {
  if (progress_)
    progress_->line(text);
  else
    std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
}

void Recorder::epoch_began(std::int64_t epoch, std::int64_t batch_count) {
  if (progress_) progress_->begin_epoch(epoch, epoch_count_, batch_count);
  if (listener_ != nullptr) listener_->epoch_began(epoch, batch_count);
}

void Recorder::step_done(std::int64_t batch, double loss, double accuracy,
                         double images_per_second) {
  if (progress_) progress_->step(batch, loss, accuracy, images_per_second);
  if (listener_ != nullptr) listener_->step_done(batch, loss, accuracy, images_per_second);
}

void Recorder::loss_logged(std::int64_t step, double loss) {
  metrics_.write(StepMetrics{step, loss});
  if (tensorboard_) tensorboard_->write(StepMetrics{step, loss});
  if (listener_ != nullptr) listener_->loss_logged(step, loss);
}

void Recorder::epoch_ended(const EpochReport& r) {
  const EpochMetrics metrics{.epoch = r.epoch,
                             .train_loss = r.train_loss,
                             .train_accuracy = r.train_accuracy,
                             .test_loss = r.test_loss,
                             .test_accuracy = r.test_accuracy,
                             .images_per_second = r.images_per_second,
                             .learning_rate = r.learning_rate,
                             .seconds = r.seconds,
                             .waited_seconds = r.waited_seconds};
  waited_seconds_ += r.waited_seconds;
  metrics_.write(metrics);
  if (tensorboard_) tensorboard_->write(metrics, r.step);
  if (progress_) progress_->end_epoch(metrics);
  if (listener_ != nullptr) listener_->epoch_ended(r);
}

void Recorder::checkpoint_begins() {
  if (listener_ != nullptr) listener_->checkpoint_begins();
}

void Recorder::checkpoint_saved(const Path& path, const TrainPosition& position) {
  if (listener_ != nullptr) listener_->checkpoint_saved(path, position);
}

}  // namespace kiln
