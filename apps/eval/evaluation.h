// A model's scores on a data set, and which of its answers to show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/common/batch_runner.h"
#include "engine/data/dataset.h"
#include "engine/train/evaluator.h"

namespace kiln {

struct Scores {
  Evaluation total;
  std::vector<std::int32_t> predicted;  // one per picture

  double images_per_second() const {
    return static_cast<double>(total.image_count) / total.seconds;
  }
};

// Throws Error (input) where size, channels or classes of the two do not fit, naming both. Other
// class names than the model's are only warned of, unless they are the same in another order.
void check_subject(const Model& model, const std::string& model_name, const Dataset& data,
                   Log& log);

// Throws Error (input) when the model's answer to a picture is not a number.
Scores score(const Model& model, const std::string& model_name, const Dataset& data,
             Context& context, Conv2dProviders& providers, const EvaluatorOptions& options);

// Pictures to show: up to `count` that were right, then up to `count` that were wrong, spread
// evenly over the set.
std::vector<std::int64_t> choose_samples(const Scores& scores, const Dataset& data,
                                         std::int64_t count);

}  // namespace kiln
