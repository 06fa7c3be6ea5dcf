#include "apps/speedrun/one_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>

#include "apps/common/app_main.h"
#include "apps/common/options.h"
#include "apps/common/text.h"
#include "apps/train/settings.h"
#include "engine/core/error.h"
#include "engine/train/whitening.h"

namespace kiln {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Mean of what the system says of the CPUs' clocks; 0 where it says nothing.
double cpu_mhz() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/cpuinfo", "r"),
                                                             &std::fclose);
  char line[1024];
  double sum = 0, one = 0;
  int count = 0;
  while (file && std::fgets(line, sizeof line, file.get()) != nullptr)
    if (std::sscanf(line, "cpu MHz : %lf", &one) == 1) {
      sum += one;
      ++count;
    }
  return count == 0 ? 0.0 : sum / count;
}

class EpochClock final : public TrainObserver {
 public:
  EpochClock(RunResult& result, const Track& track) : result_(result), track_(track) {}
  void epoch_ended(const EpochReport& report) override {
    result_.epoch_seconds.push_back(seconds_since(begin_));
    begin_ = Clock::now();
    result_.train_loss = report.train_loss;
    track_.context.log().info(
        "seed " + std::to_string(result_.seed) + ", epoch " + std::to_string(report.epoch) +
        " of " + std::to_string(track_.flags.epochs) + ": loss " +
        fixed_text(report.train_loss, 4) + ", " + fixed_text(result_.epoch_seconds.back(), 2) +
        " s, " + fixed_text(report.images_per_second, 0) + " images/s");
  }

 private:
  RunResult& result_;
  const Track& track_;
  Clock::time_point begin_ = Clock::now();
};

// Pictures that an epoch shows.
std::int64_t epoch_images(const Trainer& trainer, const TrainOptions& options,
                          const Dataset& train) {
  return std::min(train.size(), trainer.batch_count() * options.batch_size * options.accumulate);
}

TrainEnd trained(Trainer& trainer, RunResult& result, const Track& track,
                 const std::function<int()>& stop_asked) {
  EpochClock epochs(result, track);
  try {
    return trainer.run(epochs, [&] { return stop_asked() != 0; });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::diverged) throw;
    throw Error(ErrorKind::diverged, "seed " + std::to_string(result.seed), error.what());
  }
}

}  // namespace

RunResult run_once(Track& track, std::uint64_t seed, const std::function<int()>& stop_asked) {
  RunResult result{.seed = seed, .cpu_mhz_before = cpu_mhz()};
  const Dataset no_test;
  ParameterStore parameters(track.spec, DType::f32, track.context.device(), track.storage);
  parameters.initialise(seed);

  const auto begin = Clock::now();
  const Normalisation normalisation =
      choose_normalisation(track.flags, track.data.train, track.context.pool());
  if (wants_whitening(track.spec))
    whiten(track.spec, track.data.train, normalisation, track.context, parameters);
  result.preparation_seconds = seconds_since(begin);

  TrainOptions options = train_options(track.flags, normalisation);
  options.seed = seed;
  Trainer trainer(track.spec, parameters, options, track.data.train, no_test, track.context,
                  track.providers);
  if (trained(trainer, result, track, stop_asked) == TrainEnd::stopped) throw Stopped{stop_asked()};
  result.trained_images = options.epoch_count * epoch_images(trainer, options, track.data.train);

  Evaluator evaluator(track.spec, parameters, normalisation, track.data.test, track.context,
                      track.providers,
                      {.batch_size = options.batch_size, .views = options.test_views});
  const Evaluation scored = evaluator.run(track.context);
  if (!std::isfinite(scored.loss))
    throw Error(ErrorKind::diverged, "seed " + std::to_string(seed),
                "left weights whose loss on the test set is not finite", "lower --lr");
  result.evaluation_seconds = scored.seconds;
  result.accuracy = scored.accuracy();
  result.hit_count = scored.hit_count;
  result.image_count = scored.image_count;
  result.loss = scored.loss;
  result.cpu_mhz_after = cpu_mhz();
  return result;
}

}  // namespace kiln
