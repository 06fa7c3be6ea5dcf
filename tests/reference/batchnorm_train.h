// Oracle of batchnorm_train: batch normalisation of [rows, C] by the statistics of the batch.
// Double, one thread, straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct BatchnormState {
  Values mean, variance;  // per channel; variance is the biased one
};

inline BatchnormState batch_statistics(const Values& x, std::size_t channels) {
  const std::size_t rows = x.size() / channels;
  BatchnormState state;
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0, variance = 0;
    for (std::size_t m = 0; m < rows; ++m) mean += x[m * channels + c];
    mean /= static_cast<double>(rows);
    for (std::size_t m = 0; m < rows; ++m) {
      const double difference = x[m * channels + c] - mean;
      variance += difference * difference;
    }
    state.mean.push_back(mean);
    state.variance.push_back(variance / static_cast<double>(rows));
  }
  return state;
}

// gamma (x - mean) / sqrt(variance + epsilon) + beta
inline Values batchnorm_apply(const Values& x, const BatchnormState& state, const Values& gamma,
                              const Values& beta, double epsilon) {
  const std::size_t channels = gamma.size();
  Values y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    y.push_back(gamma[c] * (x[i] - state.mean[c]) / std::sqrt(state.variance[c] + epsilon) +
                beta[c]);
  }
  return y;
}

}  // namespace kiln::reference
