// Evaluator: loss, accuracy and confusion of a model on a data set, every picture exactly once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "engine/train/test_views.h"

namespace kiln {

struct Evaluation {
  double loss = 0.0;  // mean, nats
  std::int64_t hit_count = 0;
  std::int64_t image_count = 0;
  std::vector<std::int64_t> confusion;  // [true class, predicted class]
  double seconds = 0.0;

  double accuracy() const {
    return image_count == 0 ? 0.0
                            : static_cast<double>(hit_count) / static_cast<double>(image_count);
  }
};

struct EvaluatorOptions {
  std::int64_t batch_size = 256;
  TestViews views = TestViews::none;
  int rank = 0, rank_count = 1;  // of the data set this rank's part alone is evaluated
};

class Evaluator {
 public:
  // Called with each picture's index in the data set and its class probabilities.
  using Visitor = std::function<void(std::int64_t index, std::span<const float> probabilities)>;

  // Plans networks for batch_size pictures and for the rest. All arguments must outlive the
  // evaluator. Throws Error (input) when pictures or labels do not fit the network.
  Evaluator(const ModelSpec& spec, const ParameterStore& parameters,
            const Normalisation& normalisation, const Dataset& dataset, const Context& context,
            Conv2dProviders& providers, const EvaluatorOptions& options = {});

  // Restores c.mode on return.
  Evaluation run(Context& c, const Visitor& visitor = {});

 private:
  Network& network_for(std::int64_t count);

  const ParameterStore& parameters_;
  const Dataset& dataset_;
  const Normalisation& normalisation_;
  std::int64_t class_count_;
  Loader loader_;
  std::unique_ptr<Network> whole_, rest_;
  ViewForward forward_;
};

// Throws Error (input) naming the sizes when the data set is not what the network takes.
void check_fit(const ModelSpec& spec, const Dataset& dataset);

}  // namespace kiln
