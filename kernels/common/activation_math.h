// Scalar forms of the pointwise functions and their derivatives, for every device.
#pragma once

#include <cmath>

#include "engine/core/rng.h"
#include "kernels/include/activation.h"

namespace kiln {

// max(x, 0), NaN kept.
template <class T>
KILN_HOST_DEVICE constexpr T relu_of(T x) {
  return x < T(0) ? T(0) : x;
}

// Of ops that know relu only.
template <class T>
KILN_HOST_DEVICE constexpr T activated(T x, Activation activation) {
  return activation == Activation::relu ? relu_of(x) : x;
}

// Phi(x) = (1 + erf(x / sqrt 2)) / 2, formed as erfc so that the left tail keeps its digits.
KILN_HOST_DEVICE inline double normal_cdf(double x) {
  return 0.5 * std::erfc(-x * 0.70710678118654752440);
}
// phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
KILN_HOST_DEVICE inline double normal_pdf(double x) {
  return 0.39894228040143267794 * std::exp(-0.5 * x * x);
}
KILN_HOST_DEVICE inline double gelu_of(double x) { return x * normal_cdf(x); }
KILN_HOST_DEVICE inline double gelu_slope(double x) { return normal_cdf(x) + x * normal_pdf(x); }

// Of ops that know gelu too: erfc would take registers of every kernel that calls the one above.
inline double activated_or_gelu(double x, Activation activation) {
  return activation == Activation::gelu ? gelu_of(x) : activated(x, activation);
}

}  // namespace kiln
