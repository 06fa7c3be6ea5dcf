// Which of several ways to compute the same thing: the first that works, the fastest of a few, or
// the one that was the fastest before. A library is behind the functions of PlanTrials, so that
// this is tested without one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/plan_cache.h"

namespace kiln {

enum class ChoiceSource { heuristic, autotuned, cached };
std::string_view name_of(ChoiceSource source);

struct PlanTrials {
  // False where the candidate cannot be made after all. Called once at most for each.
  std::function<bool(int candidate)> prepare;
  // Microseconds of one run of a prepared candidate. May throw Error: the candidate is left out.
  std::function<double(int candidate)> run_us;
};

struct PlanChoice {
  int candidate = 0;
  ChoiceSource source = ChoiceSource::heuristic;
  double median_us = 0;  // 0 unless autotuned
};

struct TuningRule {
  int most_candidates = 8;  // that can be prepared, in their order
  int warm_ups = 2;
  int runs = 7;  // odd: the median is one of them
};

// `names`: the candidates, best first by a heuristic. Without a cache the first that can be
// prepared is taken and nothing is timed. With one, a kept choice is taken; else the fastest of the
// first few by the median of some runs, the earlier one if equal, provided that the cache keeps it:
// a choice that the next run might not make again would change its bits. Nothing where no candidate
// can be prepared.
std::optional<PlanChoice> choose_plan(const std::string& key, const std::vector<std::string>& names,
                                      const PlanTrials& trials, PlanCache* cache, Log& log,
                                      const TuningRule& rule = {});

}  // namespace kiln
