// Passes of batch normalisation over f32 rows of `channels` floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/include/activation.h"

namespace kiln::cpu {

// Results of this size are stored past the caches: they would push out of the largest cache what is
// read beside them, and be gone themselves when they are read.
inline constexpr std::size_t kStreamedBytes = std::size_t{32} << 20;

struct BatchnormSums {
  const float* x;
  const float* y;  // null without relu
  const float* dy;
  const float* mean;
  // With gelu, whose argument is (x - mean) * scale + shift; else null.
  const float* scale;
  const float* shift;
  float* kept;  // where the sums leave the gradient behind gelu, or null; may be dy
};

// dx = slope * g + offset + tilt * (x - mean), per channel.
struct BatchnormTilt {
  const float* slope;
  const float* offset;
  const float* tilt;
};

}  // namespace kiln::cpu

KILN_DECLARE_ISA(
    // Per channel the mean and the sum of squared differences from it.
    void batchnorm_moments_f32(const float* x, std::int64_t rows, std::int64_t channels,
                               double* mean, double* m2);
    // y = act((x - mean) * scale + beta). `stream`, here and below: the result goes past the caches
    // where its rows are whole vectors.
    void batchnorm_apply_f32(const float* x, float* y, std::int64_t rows, std::int64_t channels,
                             const float* mean, const float* scale, const float* beta,
                             Activation activation, bool stream);
    // dbeta = sum g and dgamma = sum g (x - mean), g = dy through the activation.
    void batchnorm_sums_f32(const BatchnormSums& in, std::int64_t rows, std::int64_t channels,
                            double* dbeta, double* dgamma);
    void batchnorm_grad_f32(const BatchnormSums& in, const BatchnormTilt& tilt, float* dx,
                            std::int64_t rows, std::int64_t channels, bool add, bool stream);)
