// The oracle of linear and linear_grad: the definition, in double, one thread.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/include/activation.h"

namespace kiln::reference {

// x [rows, inputs], w [outputs, inputs]; an empty `bias` counts as zeros.
inline std::vector<double> linear(std::size_t rows, std::size_t inputs, std::size_t outputs,
                                  const std::vector<double>& x, const std::vector<double>& w,
                                  const std::vector<double>& bias, Activation activation) {
  std::vector<double> y;
  for (std::size_t n = 0; n < rows; ++n)
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = bias.empty() ? 0.0 : bias[o];
      for (std::size_t i = 0; i < inputs; ++i) sum += x[n * inputs + i] * w[o * inputs + i];
      y.push_back(activation == Activation::relu && sum < 0 ? 0.0 : sum);
    }
  return y;
}

struct LinearGradients {
  std::vector<double> dx, dw, dbias;
};

// `dz` is dy where the activation is open and 0 elsewhere.
inline LinearGradients linear_grad(std::size_t rows, std::size_t inputs, std::size_t outputs,
                                   const std::vector<double>& x, const std::vector<double>& w,
                                   const std::vector<double>& dz) {
  LinearGradients g;
  g.dx.assign(rows * inputs, 0.0);
  g.dw.assign(outputs * inputs, 0.0);
  g.dbias.assign(outputs, 0.0);
  for (std::size_t n = 0; n < rows; ++n)
    for (std::size_t o = 0; o < outputs; ++o) {
      const double d = dz[n * outputs + o];
      g.dbias[o] += d;
      for (std::size_t i = 0; i < inputs; ++i) {
        g.dx[n * inputs + i] += d * w[o * inputs + i];
        g.dw[o * inputs + i] += d * x[n * inputs + i];
      }
    }
  return g;
}

}  // namespace kiln::reference
