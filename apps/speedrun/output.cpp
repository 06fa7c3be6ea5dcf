#include "apps/speedrun/output.h"

#include "apps/common/text.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

std::string row(const RunNumber& number, const Statistic& s) {
  const auto shown = [&](double value) {
    return right(fixed_text(value * number.factor, number.digits), 12);
  };
  return left(number.label, 14) + shown(s.mean) + shown(s.deviation) + shown(s.error) + "  " +
         number.unit + "\n";
}

std::string clock_lines() {
  std::string text = "\nclock, inside:\n";
  for (const char* line : inside_the_clock()) text += std::string("  ") + line + "\n";
  text += "clock, outside:\n";
  for (const char* line : outside_the_clock()) text += std::string("  ") + line + "\n";
  return text;
}

}  // namespace

std::string to_table(const Series& series) {
  std::string text;
  for (const auto& [name, value] : series.settings)
    if (name == "model" || name == "data" || name == "epochs" || name == "batch-size" ||
        name == "tta" || name == "math" || name == "conv")
      text += left(name, 16) + "  " + printable(value) + "\n";
  for (const auto& [name, value] : series.environment)
    text += left(name, 16) + "  " + printable(value) + "\n";
  text += "\n" + left("run", 14) + right("accuracy", 12) + right("seconds", 12) +
          right("evaluation", 12) + right("MHz", 12) + "\n";
  for (const RunResult& run : series.runs)
    text += left("seed " + std::to_string(run.seed), 14) + right(percent_text(run.accuracy), 12) +
            right(fixed_text(run.seconds(), 3), 12) +
            right(fixed_text(run.evaluation_seconds, 3), 12) +
            right(fixed_text(run.cpu_mhz_after, 0), 12) + "\n";
  text += "\n" + left(std::to_string(series.runs.size()) + " runs", 14) + right("mean", 12) +
          right("deviation", 12) + right("error", 12) + "\n";
  for (const RunNumber& number : run_numbers()) text += row(number, statistic_of(series, number));
  return text + clock_lines();
}

}  // namespace kiln
