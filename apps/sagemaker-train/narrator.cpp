#include "apps/sagemaker-train/narrator.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdlib>

#include "models/safetensors.h"

namespace kiln::sagemaker {
namespace {

constexpr std::int64_t kBatchesTold = 2000;  // between two lines of the classic scripts

// Of the batch before the checkpoint, in digits that read back as the same number.
std::string last_loss_of(const Path& checkpoint) {
  const SafetensorsFile file(checkpoint);
  const auto found = file.metadata().find("last_loss");
  if (found == file.metadata().end()) return "not recorded";
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", std::strtod(found->second.c_str(), nullptr));
  return text;
}

// As Python prints a fraction: 97.0, 98.41.
std::string python_text(double value) {
  char text[64];
  const auto written =
      std::to_chars(std::begin(text), std::end(text), value, std::chars_format::fixed);
  const std::string digits(text, written.ptr);
  return digits.find('.') == digits.npos ? digits + ".0" : digits;
}

}  // namespace

// Hosted, the output is a pipe: without a flush of each line nobody would see the run go on.
void Narrator::print(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(out_, format, arguments);
  va_end(arguments);
  std::fputc('\n', out_);
  std::fflush(out_);
}

void Narrator::ready(const RunFacts& facts) {
  facts_ = facts;
  tell_leader(kStartedFile, {});
  print("Device Type: %s", facts.device.c_str());
  if (story() == Story::mnist) {
    tell_shares();
    print("Start training ...");
    return;
  }
  print("###### Loading Cifar10 dataset");
  print("Model network loaded from get_model_network()");
  if (story() == Story::spot) tell_checkpoint(facts);
  if (story() == Story::horovod || story() == Story::ddp) tell_shares();
  print("Training starts until epochs of %lld", static_cast<long long>(plan_.flags.epochs));
}

// What each rank takes of the pictures: all of them, where there is one.
void Narrator::tell_shares() {
  const auto tell = [&](std::int64_t all, const char* name) {
    print("Processes %lld/%lld (%d%%) of %s data", static_cast<long long>(all / facts_.ranks),
          static_cast<long long>(all), 100 / facts_.ranks, name);
  };
  tell(facts_.train_count, "train");
  tell(facts_.test_count, "test");
}

std::int64_t Narrator::step_pictures() const {
  return plan_.flags.batch_size * (plan_.flags.global_batch ? 1 : facts_.ranks);
}

void Narrator::tell_checkpoint(const RunFacts& facts) {
  if (facts.position.step == 0) return;
  print("----------------------------");
  print("Checkpoint file found!");
  print("Loading Checkpoint From: %s",
        (facts.checkpoint.parent_path() / kTorchCheckpointFile).c_str());
  print("Checkpoint File Loaded - epoch_number: %lld - loss: %s",
        static_cast<long long>(facts.position.epoch), last_loss_of(facts.checkpoint).c_str());
  print("Resuming training from epoch: %lld", static_cast<long long>(facts.position.epoch + 1));
  print("----------------------------");
}

// An epoch that is resumed has sums already; its first line tells of the batches since.
void Narrator::epoch_began(std::int64_t epoch, std::int64_t) {
  epoch_ = epoch;
  const TrainPosition& at = facts_.position;
  const bool resumed = at.epoch + 1 == epoch && at.epoch_step > 0;
  told_sum_ = last_sum_ = resumed ? at.epoch_loss_sum : 0.0;
  told_pictures_ = last_pictures_ = resumed ? at.epoch_image_count : 0;
}

void Narrator::step_done(std::int64_t batch, double loss, double, double) {
  const std::int64_t pictures = std::min((batch + 1) * step_pictures(), facts_.train_count);
  const double sum = loss * static_cast<double>(pictures);
  last_loss_ = (sum - last_sum_) / static_cast<double>(pictures - last_pictures_);
  last_sum_ = sum;
  last_pictures_ = pictures;
  if (story() == Story::classic || story() == Story::spot)
    tell_batches(batch + 1);
  else
    tell_batch(batch);
}

// "[1,  2000] loss: 2.302": the mean over the batches since the last line.
void Narrator::tell_batches(std::int64_t done) {
  const bool last_of_few = done == facts_.batch_count && done < kBatchesTold;
  if (done % kBatchesTold != 0 && !last_of_few) return;
  const double mean =
      (last_sum_ - told_sum_) / static_cast<double>(last_pictures_ - told_pictures_);
  print("[%lld, %5lld] loss: %.3f", static_cast<long long>(epoch_), static_cast<long long>(done),
        mean);
  told_sum_ = last_sum_;
  told_pictures_ = last_pictures_;
}

// "Train Epoch: 1 [640/50000 (1%)] Loss: 2.303": of one batch.
void Narrator::tell_batch(std::int64_t batch) {
  const std::int64_t every = plan_.flags.log_interval;
  // The script for DDP counts the batches before the one that it tells of, the others that one too.
  const bool before = story() == Story::ddp;
  const std::int64_t count = before ? batch : batch + 1;
  if (every == 0 || count % every != 0) return;
  const std::int64_t pictures = before ? batch * step_pictures() : last_pictures_;
  const double percent = 100.0 * static_cast<double>(count) /
                         static_cast<double>(std::max<std::int64_t>(facts_.batch_count, 1));
  const int digits = story() == Story::horovod ? 3 : 6;
  print("Train Epoch: %lld [%lld/%lld (%.0f%%)] Loss: %.*f", static_cast<long long>(epoch_),
        static_cast<long long>(pictures), static_cast<long long>(facts_.train_count), percent,
        digits, last_loss_);
}

void Narrator::epoch_ended(const EpochReport& r) {
  if (story() == Story::spot)
    print("epoch: %lld - loss: %.16g", static_cast<long long>(r.epoch), last_loss_);
  if (std::isnan(r.test_loss)) return;
  const double hits = std::round(r.test_accuracy * static_cast<double>(facts_.test_count));
  if (story() == Story::horovod)
    print("Test set: Average loss: %.4f, Accuracy: %.2f%%", r.test_loss, 100.0 * r.test_accuracy);
  else if (story() == Story::mnist)
    print("Test set: Average loss: %.4f, Accuracy: %.0f/%lld, %s)", r.test_loss, hits,
          static_cast<long long>(facts_.test_count),
          python_text(100.0 * hits / static_cast<double>(facts_.test_count)).c_str());
  else
    print("Test set: Average loss: %.4f, Accuracy: %.0f/%lld (%.0f%%)", r.test_loss, hits,
          static_cast<long long>(facts_.test_count), 100.0 * r.test_accuracy);
}

void Narrator::checkpoint_begins() {
  if (files_ != nullptr) files_->before_checkpoint();
}

void Narrator::checkpoint_saved(const Path& path, const TrainPosition&) {
  if (story() == Story::spot)
    print("Saving the Checkpoint: %s", (path.parent_path() / kTorchCheckpointFile).c_str());
  if (files_ != nullptr) files_->after_checkpoint(path, facts_.class_count);
}

void Narrator::saved(const Path& model_dir) {
  if (files_ != nullptr) files_->model_saved();
  const bool finished = story() == Story::spot || plan_.script->program == "cifar10.py";
  print(finished ? "Finished Training" : "Training is finished");
  print("the model is saved at %s", (model_dir / kTorchModelFile).c_str());
}

void Narrator::lost(const Error& why) { tell_leader(kCauseFile, with_host(why.what(), plan_)); }

void Narrator::stuck(const Error& why) {
  if (files_ != nullptr) files_->failed(with_host(why.what(), plan_));
}

}  // namespace kiln::sagemaker
