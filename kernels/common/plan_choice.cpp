#include "kernels/common/plan_choice.h"

#include <algorithm>

#include "engine/core/error.h"

namespace kiln {
namespace {

class Chooser {
 public:
  Chooser(const std::string& key, const std::vector<std::string>& names, const PlanTrials& trials,
          Log& log, const TuningRule& rule)
      : key_(key),
        names_(names),
        trials_(trials),
        log_(log),
        rule_(rule),
        prepared_(names.size()) {}

  std::optional<PlanChoice> first() {
    for (int candidate = 0; candidate < count(); ++candidate)
      if (prepared(candidate)) return PlanChoice{.candidate = candidate};
    return std::nullopt;
  }

  std::optional<PlanChoice> named(const std::string& name, ChoiceSource source) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    const int candidate = static_cast<int>(at - names_.begin());
    if (at != names_.end() && prepared(candidate))
      return PlanChoice{.candidate = candidate, .source = source};
    log_.once(key_ + ": the kept choice " + printable(name) + " is none of today's, it is ignored");
    return std::nullopt;
  }

  // Nothing where not even two can be timed.
  std::optional<PlanChoice> fastest() {
    std::optional<PlanChoice> best;
    int timed = 0, tried = 0;
    for (int candidate = 0; candidate < count() && tried < rule_.most_candidates; ++candidate) {
      if (!prepared(candidate)) continue;
      ++tried;
      const std::optional<double> median = median_us(candidate);
      if (!median) continue;
      ++timed;
      if (!best || *median < best->median_us)
        best = PlanChoice{candidate, ChoiceSource::autotuned, *median};
    }
    return timed > 1 ? best : std::nullopt;
  }

 private:
  int count() const { return static_cast<int>(names_.size()); }

  bool prepared(int candidate) {
    std::optional<bool>& known = prepared_[static_cast<std::size_t>(candidate)];
    if (!known) known = trials_.prepare(candidate);
    return *known;
  }

  std::optional<double> median_us(int candidate) {
    std::vector<double> times;
    try {
      for (int run = 0; run < rule_.warm_ups; ++run) trials_.run_us(candidate);
      for (int run = 0; run < rule_.runs; ++run) times.push_back(trials_.run_us(candidate));
    } catch (const Error& error) {
      log_.once(key_ + ": " + names_[static_cast<std::size_t>(candidate)] +
                " is left out: " + error.what());
      return std::nullopt;
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }

  const std::string& key_;
  const std::vector<std::string>& names_;
  const PlanTrials& trials_;
  Log& log_;
  const TuningRule& rule_;
  std::vector<std::optional<bool>> prepared_;
};

}  // namespace

std::string_view name_of(ChoiceSource source) {
  if (source == ChoiceSource::heuristic) return "heuristic";
  return source == ChoiceSource::autotuned ? "autotuned" : "cached";
}

std::optional<PlanChoice> choose_plan(const std::string& key, const std::vector<std::string>& names,
                                      const PlanTrials& trials, PlanCache* cache, Log& log,
                                      const TuningRule& rule) {
  Chooser chooser(key, names, trials, log, rule);
  if (cache == nullptr) return chooser.first();
  if (const std::optional<std::string> kept = cache->find(key)) {
    if (const auto choice = chooser.named(*kept, ChoiceSource::cached)) return choice;
    cache->forget(key);
  }
  const std::optional<PlanChoice> best = chooser.fastest();
  if (!best) return chooser.first();
  const std::string& name = names[static_cast<std::size_t>(best->candidate)];
  const std::optional<std::string> kept = cache->keep(key, name);
  if (!kept) return chooser.first();
  if (*kept == name) return best;
  const auto theirs = chooser.named(*kept, ChoiceSource::cached);
  return theirs ? theirs : chooser.first();
}

}  // namespace kiln
