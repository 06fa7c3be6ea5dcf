// Whitening: first filters whose responses to training pictures are uncorrelated and of variance
// near 1, so that the layers behind them see all directions alike. docs/math.md, "Whitening".
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/context.h"
#include "engine/data/dataset.h"
#include "engine/data/normalisation.h"
#include "engine/train/parameters.h"
#include "models/spec.h"

namespace kiln {

// Pictures that the filters are made of, the first of the data set, and what keeps directions in
// which they hardly differ from being blown up.
inline constexpr std::int64_t kWhiteningPictures = 5000;
inline constexpr double kWhiteningEpsilon = 5e-4;

// Whether the first layer of `spec` wants it.
bool wants_whitening(const ModelSpec& spec);

// Sets the weight of the first layer: filter i is v_i / sqrt(lambda_i + epsilon), lambda_i rising,
// and filter i + half its negative; (lambda_i, v_i) of the second moments of all windows of the
// normalised pictures. Of each v the number of largest magnitude is positive. The bits depend on
// the pictures alone. Throws Error (input) where the pictures are not those of the spec.
void whiten(const ModelSpec& spec, const Dataset& train, const Normalisation& normalisation,
            Context& context, ParameterStore& parameters);

// [n, n] sums of products of the numbers of a window, over the count of windows: windows of
// kernel_h x kernel_w at every place of pictures f32 [N, H, W, C], numbers in the order r, s, c.
std::vector<double> second_moments(ThreadPool& pool, const Tensor& pictures, std::int64_t kernel_h,
                                   std::int64_t kernel_w);

// Of a symmetric matrix [n, n], by Jacobi's rotations; values rise, vectors are rows of length 1.
struct Eigen {
  std::vector<double> values, vectors;
};
Eigen symmetric_eigen(std::vector<double> matrix, std::size_t n);

}  // namespace kiln
