// Oracle of batchnorm_grad: the gradient of batch normalisation of [rows, C]. Double, one thread,
// straight from the definition.
#pragma once

#include <cmath>

#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct BatchnormGrad {
  Values dx, dgamma, dbeta;
};

// `g` is the gradient before the activation.
inline BatchnormGrad batchnorm_grad(const Values& x, const Values& mean, const Values& inv_std,
                                    const Values& gamma, const Values& g) {
  const std::size_t channels = gamma.size(), rows = x.size() / channels;
  BatchnormGrad result{Values(x.size()), Values(channels), Values(channels)};
  for (std::size_t c = 0; c < channels; ++c) {
    double& dgamma = result.dgamma[c];
    double& dbeta = result.dbeta[c];
    for (std::size_t m = 0; m < rows; ++m) {
      const std::size_t i = m * channels + c;
      dbeta += g[i];
      dgamma += g[i] * (x[i] - mean[c]) * inv_std[c];
    }
    for (std::size_t m = 0; m < rows; ++m) {
      const std::size_t i = m * channels + c;
      const double normalised = (x[i] - mean[c]) * inv_std[c];
      result.dx[i] = gamma[c] * inv_std[c] *
                     (g[i] - dbeta / static_cast<double>(rows) -
                      normalised * dgamma / static_cast<double>(rows));
    }
  }
  return result;
}

}  // namespace kiln::reference
