#include "engine/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace kiln {

std::string_view name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::step:
      return "step";
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::linear:
      return "linear";
  }
  return "?";
}

ScheduleKind parse_schedule(std::string_view name) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::step, ScheduleKind::cosine, ScheduleKind::linear})
    if (name_of(kind) == name) return kind;
  throw Error(ErrorKind::usage, "--schedule " + printable(name), "is no known schedule",
              "use constant, step, cosine or linear");
}

std::int64_t steps_in(double epochs, std::int64_t steps_per_epoch) {
  return std::max<std::int64_t>(1, std::llround(epochs * static_cast<double>(steps_per_epoch)));
}

double learning_rate(const ScheduleOptions& o, std::int64_t step, std::int64_t steps_per_epoch,
                     std::int64_t epoch_count, double until_epochs) {
  const auto total = static_cast<double>(until_epochs > 0 ? steps_in(until_epochs, steps_per_epoch)
                                                          : steps_per_epoch * epoch_count);
  const double warmup = std::round(o.warmup_epochs * static_cast<double>(steps_per_epoch));
  const auto at = static_cast<double>(step);
  if (at < warmup)
    return o.base * (o.warmup_start_ratio + (1 - o.warmup_start_ratio) * at / warmup);
  const std::int64_t epoch = step / steps_per_epoch;
  switch (o.kind) {
    case ScheduleKind::constant:
      return o.base;
    case ScheduleKind::step:
      return o.base * std::pow(o.gamma, static_cast<double>(epoch / o.step_epochs));
    case ScheduleKind::cosine: {
      const double done = static_cast<double>(epoch) / static_cast<double>(epoch_count);
      const double low = o.base * o.final_ratio;
      return low + (o.base - low) * (1 + std::cos(std::numbers::pi * done)) / 2;
    }
    case ScheduleKind::linear: {
      const double done = std::clamp((at - warmup) / std::max(total - warmup, 1.0), 0.0, 1.0);
      return o.base * (1 - (1 - o.final_ratio) * done);
    }
  }
  return o.base;
}

}  // namespace kiln
