// Learning-rate schedules, as functions of the step alone: a resumed run needs no state.
#pragma once

#include <cstdint>
#include <string_view>

namespace kiln {

enum class ScheduleKind {
  constant,
  step,    // times gamma every `step_epochs` epochs (torch StepLR)
  cosine,  // from the base to `final_ratio` of it over the epochs, once an epoch
           // (CosineAnnealingLR)
  linear,  // warm-up over `warmup_epochs`, then a straight line to `final_ratio`, once a step
};

std::string_view name_of(ScheduleKind kind);
// Throws Error (usage) for a name that is not constant, step, cosine or linear.
ScheduleKind parse_schedule(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  double base = 0.001;
  double gamma = 0.7;            // step
  std::int64_t step_epochs = 1;  // step
  // All kinds: the rate grows in a straight line from this part of the base to the base.
  double warmup_epochs = 0.0, warmup_start_ratio = 0.0;
  double final_ratio = 0.0;  // cosine, linear
};

// Steps of a part of the run that is `epochs` long: at least one.
std::int64_t steps_in(double epochs, std::int64_t steps_per_epoch);

// The rate of optimizer step `step` (counted from 0). `steps_per_epoch` >= 1, `epoch_count` >= 1.
// `until_epochs`: where a linear schedule ends instead; 0: with the epochs.
double learning_rate(const ScheduleOptions& options, std::int64_t step,
                     std::int64_t steps_per_epoch, std::int64_t epoch_count,
                     double until_epochs = 0.0);

}  // namespace kiln
