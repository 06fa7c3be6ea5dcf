// The lines that the workshop's scripts print, for the same events of a run: what reads their logs,
// such as the regular expressions of metric definitions, reads these. No tabs, no returns.
#pragma once

#include <cstdio>
#include <string>

#include "apps/sagemaker-train/outcome.h"
#include "apps/sagemaker-train/plan.h"
#include "apps/train/run.h"

namespace kiln::sagemaker {

class Narrator final : public RunListener {
 public:
  // `out` gets whole lines; `files` may be null. All must outlive the narrator.
  Narrator(const Plan& plan, std::FILE* out, const JobFiles* files = nullptr)
      : plan_(plan), out_(out), files_(files) {}

  void ready(const RunFacts& facts) override;
  void epoch_began(std::int64_t epoch, std::int64_t batch_count) override;
  void step_done(std::int64_t batch, double loss, double accuracy,
                 double images_per_second) override;
  void epoch_ended(const EpochReport& report) override;
  void checkpoint_begins() override;
  void checkpoint_saved(const Path& path, const TrainPosition& position) override;
  void saved(const Path& model_dir) override;
  void lost(const Error& why) override;
  void stuck(const Error& why) override;

 private:
  void print(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void tell_checkpoint(const RunFacts& facts);
  void tell_shares();
  void tell_batches(std::int64_t done);
  void tell_batch(std::int64_t batch);
  // Pictures of a step, of all ranks.
  std::int64_t step_pictures() const;
  Story story() const { return plan_.script->story; }

  const Plan& plan_;
  std::FILE* out_;
  const JobFiles* files_;
  RunFacts facts_;
  std::int64_t epoch_ = 0;
  // A run tells means over the epoch's pictures; what batches add to their sum are differences.
  double told_sum_ = 0.0, last_sum_ = 0.0;
  std::int64_t told_pictures_ = 0, last_pictures_ = 0;
  double last_loss_ = 0.0;  // of the last batch
};

}  // namespace kiln::sagemaker
