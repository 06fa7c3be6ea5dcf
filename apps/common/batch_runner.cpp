#include "apps/common/batch_runner.h"

#include <algorithm>
#include <cmath>

#include "engine/core/check.h"
#include "engine/core/transfer.h"
#include "engine/train/mixed_precision.h"

namespace kiln {

BatchRunner::BatchRunner(const Model& model, Context& context, Conv2dProviders& providers,
                         std::int64_t batch_size, TestViews views)
    : model_(model),
      context_(context),
      providers_(providers),
      full_(network_for(batch_size)),
      forward_(views, model.spec, batch_size) {
  context_.mode = Mode::eval;
  refresh_copies(context_, model_.parameters);
}

std::unique_ptr<Network> BatchRunner::network_for(std::int64_t batch_size) const {
  return std::make_unique<Network>(model_.spec, model_.parameters, context_, providers_,
                                   NetworkOptions{.batch_size = batch_size, .training = false});
}

Network& BatchRunner::run(std::span<const std::uint8_t> images,
                          std::span<const std::int32_t> labels) {
  const auto count = static_cast<std::int64_t>(labels.size());
  KILN_CHECK(count >= 1 && count <= full_->batch_size());
  if (count != full_->batch_size() && (!rest_ || rest_->batch_size() != count))
    rest_ = network_for(count);
  Network& network = count == full_->batch_size() ? *full_ : *rest_;
  forward_.run(context_, network, images, labels, model_.normalisation);
  return network;
}

std::vector<float> probabilities(const Tensor& logits, std::int64_t row) {
  const std::int64_t class_count = logits.shape()[1];
  std::vector<float> scores(static_cast<std::size_t>(class_count));
  copy_to_host(logits.device(), scores.data(), logits.data<float>() + row * class_count,
               scores.size() * sizeof(float));
  const auto largest = static_cast<double>(*std::ranges::max_element(scores));
  std::vector<double> powers;
  powers.reserve(scores.size());
  double sum = 0.0;
  for (const float score : scores) {
    powers.push_back(std::exp(static_cast<double>(score) - largest));
    sum += powers.back();
  }
  std::vector<float> out;
  out.reserve(powers.size());
  for (const double power : powers) out.push_back(static_cast<float>(power / sum));
  return out;
}

int first_largest(std::span<const float> values) {
  if (std::ranges::any_of(values, [](float value) { return std::isnan(value); })) return -1;
  return static_cast<int>(std::ranges::max_element(values) - values.begin());
}

}  // namespace kiln
