// Recorder: what a person and a program see of a run while it goes on: the progress line,
// metrics.jsonl and TensorBoard events.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/report/metrics.h"
#include "engine/report/progress.h"
#include "engine/report/tensorboard.h"
#include "engine/train/trainer.h"

namespace kiln {

struct RecorderOptions {
  Path folder;  // of the files
  std::int64_t epoch_count = 1;
  std::int64_t log_interval = 100;
  bool tensorboard = true;
  std::optional<ResumePoint> resume;  // where a resumed run goes on
  TrainObserver* listener = nullptr;  // hears all of it too, and then nothing is printed here
};

class Recorder final : public TrainObserver {
 public:
  explicit Recorder(const RecorderOptions& options);

  void epoch_began(std::int64_t epoch, std::int64_t batch_count) override;
  void step_done(std::int64_t batch, double loss, double accuracy,
                 double images_per_second) override;
  void loss_logged(std::int64_t step, double loss) override;
  void epoch_ended(const EpochReport& report) override;
  void checkpoint_begins() override;
  void checkpoint_saved(const Path& path, const TrainPosition& position) override;

  void line(std::string_view text);
  double waited_seconds() const { return waited_seconds_; }

 private:
  std::int64_t epoch_count_;
  TrainObserver* listener_;
  std::optional<Progress> progress_;
  MetricsWriter metrics_;
  std::optional<TensorBoardWriter> tensorboard_;
  double waited_seconds_ = 0.0;
};

}  // namespace kiln
