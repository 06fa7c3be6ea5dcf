// A trained model on any number of pictures.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/context.h"
#include "engine/train/model_io.h"
#include "engine/train/test_views.h"

namespace kiln {

// Runs batches of up to `batch_size` pictures forward. A network is planned for one batch size, so
// a smaller last batch gets a network of its own, which shares the weights.
class BatchRunner {
 public:
  // The first three must outlive the runner. The context's mode becomes eval.
  BatchRunner(const Model& model, Context& context, Conv2dProviders& providers,
              std::int64_t batch_size, TestViews views = TestViews::none);

  // images: u8 [count, H, W, C] of the model's input, labels: [count], 1 <= count <= batch_size.
  // The network's logits are ready; its loss is not computed.
  Network& run(std::span<const std::uint8_t> images, std::span<const std::int32_t> labels);

  std::int64_t batch_size() const { return full_->batch_size(); }

 private:
  std::unique_ptr<Network> network_for(std::int64_t batch_size) const;

  const Model& model_;
  Context& context_;
  Conv2dProviders& providers_;
  std::unique_ptr<Network> full_, rest_;
  ViewForward forward_;
};

// softmax of row `row` of the logits [N, K] (of log-probabilities: their exponentials).
std::vector<float> probabilities(const Tensor& logits, std::int64_t row);

// The first class with the largest value; -1 for a row that holds NaN.
int first_largest(std::span<const float> values);

}  // namespace kiln
