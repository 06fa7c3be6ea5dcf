#include "apps/speedrun/output.h"

#include "apps/common/text.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

std::string row(const std::string& name, const Statistic& s, double factor, int digits,
                const std::string& unit) {
  return left(name, 14) + right(fixed_text(s.mean * factor, digits), 12) +
         right(fixed_text(s.deviation * factor, digits), 12) +
         right(fixed_text(s.error * factor, digits), 12) + "  " + unit + "\n";
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
  const auto of = [&](double (*number)(const RunResult&)) { return statistic_of(series, number); };
  text += "\n" + left(std::to_string(series.runs.size()) + " runs", 14) + right("mean", 12) +
          right("deviation", 12) + right("error", 12) + "\n";
  text += row("accuracy", of([](const RunResult& r) { return r.accuracy; }), 100, 3, "%");
  text += row("seconds", of([](const RunResult& r) { return r.seconds(); }), 1, 3, "s");
  text +=
      row("  preparation", of([](const RunResult& r) { return r.preparation_seconds; }), 1, 3, "s");
  text += row("  epochs", of([](const RunResult& r) { return r.training_seconds(); }), 1, 3, "s");
  text +=
      row("  evaluation", of([](const RunResult& r) { return r.evaluation_seconds; }), 1, 3, "s");
  text += row("training", of([](const RunResult& r) {
                return static_cast<double>(r.trained_images) / r.training_seconds();
              }),
              1, 1, "images/s");
  return text + clock_lines();
}

}  // namespace kiln
