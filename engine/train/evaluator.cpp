#include "engine/train/evaluator.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/transfer.h"
#include "engine/train/mixed_precision.h"

namespace kiln {
namespace {

std::string extents(std::int64_t h, std::int64_t w, std::int64_t c) {
  return std::to_string(h) + "x" + std::to_string(w) + "x" + std::to_string(c);
}

// Of one rank; no larger than its part of the data set.
std::int64_t batch_size_of(const EvaluatorOptions& options, std::int64_t size) {
  const std::int64_t share = (size + options.rank_count - 1) / options.rank_count;
  return std::max<std::int64_t>(1, std::min(options.batch_size, share));
}

// Adds one batch to the confusion counts and shows its probabilities to the visitor. The predicted
// class is the first maximum, as in softmax_xent.
void tally(const Network& network, const Batch& batch, std::int64_t class_count, Evaluation& result,
           const Evaluator::Visitor& visitor, std::vector<float>& probabilities) {
  const std::vector<float> all = elements_of<float>(network.logits());
  const std::span<const float> logits(all);
  const auto k = static_cast<std::size_t>(class_count);
  for (std::size_t n = 0; n < static_cast<std::size_t>(batch.count); ++n) {
    const std::span<const float> row = logits.subspan(n * k, k);
    const auto best = std::ranges::max_element(row);
    const auto predicted = static_cast<std::size_t>(best - row.begin());
    ++result.confusion[static_cast<std::size_t>(batch.labels[n]) * k + predicted];
    if (!visitor) continue;
    float sum = 0;
    for (std::size_t i = 0; i < k; ++i) sum += probabilities[i] = std::exp(row[i] - *best);
    for (float& p : probabilities) p /= sum;
    visitor(batch.indices[n], probabilities);
  }
}

}  // namespace

void check_fit(const ModelSpec& spec, const Dataset& dataset) {
  const DatasetInfo& info = dataset.info();
  if (info.height != spec.height || info.width != spec.width || info.channels != spec.channels)
    throw Error(ErrorKind::input, "data set " + info.name,
                "has pictures of " + extents(info.height, info.width, info.channels) +
                    " but the network " + spec.name + " takes " +
                    extents(spec.height, spec.width, spec.channels),
                "choose another model, or a spec file with this input");
  for (const std::int32_t label : dataset.labels())
    if (label < 0 || label >= spec.class_count)
      throw Error(ErrorKind::input, "data set " + info.name,
                  "has the label " + std::to_string(label) + " but the network " + spec.name +
                      " has " + std::to_string(spec.class_count) + " classes");
}

Evaluator::Evaluator(const ModelSpec& spec, const ParameterStore& parameters,
                     const Normalisation& normalisation, const Dataset& dataset,
                     const Context& context, Conv2dProviders& providers,
                     const EvaluatorOptions& options)
    : parameters_(parameters),
      dataset_(dataset),
      normalisation_(normalisation),
      class_count_(spec.class_count),
      loader_(dataset, {.batch_size = batch_size_of(options, dataset.size()),
                        .shuffle = false,
                        .rank = options.rank,
                        .rank_count = options.rank_count}),
      forward_(options.views, spec, batch_size_of(options, dataset.size())) {
  check_fit(spec, dataset);
  const auto plan = [&](std::int64_t count) {
    return std::make_unique<Network>(spec, parameters, context, providers,
                                     NetworkOptions{.batch_size = count, .training = false});
  };
  const std::int64_t step = loader_.step_size(), rest = dataset.size() % step;
  const std::int64_t rest_share =
      rest * (options.rank + 1) / options.rank_count - rest * options.rank / options.rank_count;
  if (dataset.size() >= step) whole_ = plan(step / options.rank_count);
  if (rest_share > 0) rest_ = plan(rest_share);
}

Network& Evaluator::network_for(std::int64_t count) {
  return whole_ && count == whole_->batch_size() ? *whole_ : *rest_;
}

Evaluation Evaluator::run(Context& c, const Visitor& visitor) {
  const auto begin = std::chrono::steady_clock::now();
  const Mode mode = c.mode;
  c.mode = Mode::eval;
  refresh_copies(c, parameters_);
  Evaluation result;
  result.confusion.assign(static_cast<std::size_t>(class_count_ * class_count_), 0);
  std::vector<float> probabilities(static_cast<std::size_t>(class_count_));
  if (dataset_.size() > 0) {
    loader_.start_epoch(0);
    while (const Batch* batch = loader_.next()) {
      if (batch->count == 0) continue;
      Network& network = network_for(batch->count);
      forward_.run(c, network, batch->images, batch->labels, normalisation_);
      const BatchResult scored = network.loss(c);
      result.loss += scored.loss_sum;
      result.hit_count += scored.hit_count;
      result.image_count += batch->count;
      tally(network, *batch, class_count_, result, visitor, probabilities);
    }
    if (result.image_count > 0) result.loss /= static_cast<double>(result.image_count);
  }
  c.mode = mode;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace kiln
