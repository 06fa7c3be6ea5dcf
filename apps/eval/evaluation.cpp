#include "apps/eval/evaluation.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace kiln {
namespace {

std::string extents(std::int64_t height, std::int64_t width, std::int64_t channels) {
  return std::to_string(width) + "x" + std::to_string(height) + " with " +
         std::to_string(channels) + (channels == 1 ? " channel" : " channels");
}

void check_class_names(const Model& model, const std::string& model_name, const Dataset& data,
                       Log& log) {
  const auto& ours = model.card.classes;
  const auto& theirs = data.info().class_names;
  if (ours == theirs) return;
  const auto first =
      static_cast<std::size_t>(std::ranges::mismatch(ours, theirs).in1 - ours.begin());
  const std::string text = "class " + std::to_string(first) + " is " + printable(ours[first]) +
                           " to the model and " + printable(theirs[first]) + " in the data";
  if (std::ranges::is_permutation(ours, theirs))
    throw Error(ErrorKind::input, model_name, "has the data's classes in another order: " + text,
                "import the data again with the model's order");
  log.warning(text + "; classes are matched by number");
}

}  // namespace

void check_subject(const Model& model, const std::string& model_name, const Dataset& data,
                   Log& log) {
  const ModelCard& card = model.card;
  const DatasetInfo& info = data.info();
  if (card.input_height != info.height || card.input_width != info.width ||
      card.input_channels != info.channels)
    throw Error(
        ErrorKind::input, model_name,
        "takes pictures of " + extents(card.input_height, card.input_width, card.input_channels) +
            " but the data has " + extents(info.height, info.width, info.channels),
        card.input_channels == info.channels ? "add --resize, or name the data it was trained on"
                                             : "name the data it was trained on");
  if (static_cast<std::int64_t>(card.classes.size()) != data.class_count())
    throw Error(ErrorKind::input, model_name,
                "tells " + std::to_string(card.classes.size()) +
                    " classes apart but the data has " + std::to_string(data.class_count()),
                "name the data it was trained on");
  if (data.size() == 0) throw Error(ErrorKind::input, info.name, "holds no pictures");
  check_class_names(model, model_name, data, log);
}

Scores score(const Model& model, const std::string& model_name, const Dataset& data,
             Context& context, Conv2dProviders& providers, const EvaluatorOptions& options) {
  Scores scores;
  scores.predicted.resize(static_cast<std::size_t>(data.size()));
  const auto refuse = [&](const std::string& where) {
    throw Error(ErrorKind::input, model_name, "answers with NaN or infinity" + where,
                "train it again with a smaller learning rate");
  };
  Evaluator evaluator(model.spec, model.parameters, model.normalisation, data, context, providers,
                      options);
  scores.total = evaluator.run(context, [&](std::int64_t i, std::span<const float> probabilities) {
    const int predicted = first_largest(probabilities);
    if (predicted < 0) refuse(" to picture " + std::to_string(i));
    scores.predicted[static_cast<std::size_t>(i)] = predicted;
  });
  if (!std::isfinite(scores.total.loss)) refuse("");
  return scores;
}

std::vector<std::int64_t> choose_samples(const Scores& scores, const Dataset& data,
                                         std::int64_t count) {
  std::vector<std::int64_t> by_verdict[2];
  for (std::int64_t i = 0; i < data.size(); ++i)
    by_verdict[scores.predicted[static_cast<std::size_t>(i)] == data.label(i) ? 0 : 1].push_back(i);
  std::vector<std::int64_t> chosen;
  chosen.reserve(static_cast<std::size_t>(2 * count));
  for (const auto& pictures : by_verdict) {
    const auto size = static_cast<std::int64_t>(pictures.size());
    const std::int64_t taken = std::min(count, size);
    for (std::int64_t k = 0; k < taken; ++k)
      chosen.push_back(pictures[static_cast<std::size_t>(k * size / taken)]);
  }
  return chosen;
}

}  // namespace kiln
