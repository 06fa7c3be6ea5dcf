#include "apps/train/summary.h"

#include <algorithm>

#include "engine/core/rng.h"
#include "engine/core/transfer.h"
#include "engine/report/png.h"

namespace kiln {
namespace {

constexpr std::size_t kSampleCount = 20;

struct Candidate {
  std::uint32_t order;
  std::int64_t index;
  std::vector<float> probabilities;
};

// Keeps the candidates with the smallest orders.
void offer(std::vector<Candidate>& best, Candidate candidate) {
  const auto at = std::ranges::upper_bound(best, candidate.order, {}, &Candidate::order);
  if (at == best.end() && best.size() >= kSampleCount) return;
  best.insert(at, std::move(candidate));
  if (best.size() > kSampleCount) best.pop_back();
}

Picture picture_of(const Dataset& dataset, std::int64_t index) {
  const auto bytes = dataset.image(index);
  return {.height = static_cast<int>(dataset.info().height),
          .width = static_cast<int>(dataset.info().width),
          .channel_count = static_cast<int>(dataset.info().channels),
          .pixels = {bytes.begin(), bytes.end()}};
}

}  // namespace

void add_evaluation(ReportData& report, Trainer& trainer, const Dataset& test, std::uint64_t seed) {
  std::vector<Candidate> right, wrong;
  const Evaluation evaluation = trainer.evaluate_alone([&](std::int64_t index,
                                                           std::span<const float> probabilities) {
    const auto predicted = std::ranges::max_element(probabilities) - probabilities.begin();
    const std::uint32_t order =
        random_block(seed, RandomStream::shuffle, ~0u, static_cast<std::uint64_t>(index)).word[0];
    offer(predicted == test.label(index) ? right : wrong,
          {order, index, {probabilities.begin(), probabilities.end()}});
  });
  report.confusion = evaluation.confusion;
  for (const auto* candidates : {&right, &wrong})
    for (const Candidate& candidate : *candidates)
      report.samples.push_back({.picture = picture_of(test, candidate.index),
                                .true_class = test.label(candidate.index),
                                .probabilities = candidate.probabilities,
                                .name = "test picture " + std::to_string(candidate.index)});
}

Picture first_filters(const ParameterStore& parameters) {
  if (parameters.all().empty()) return {};
  const Parameter& first = parameters.all().front();
  if (first.shape.rank() != 4 || first.shape[1] * first.shape[2] < 4) return {};
  const auto extent = [&](int axis) { return static_cast<int>(first.shape[axis]); };
  return tile_filters(elements_of<float>(first.value), extent(0), extent(1), extent(2), extent(3));
}

}  // namespace kiln
