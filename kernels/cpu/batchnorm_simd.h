// Passes of batch normalisation over rows of `channels` elements T, f32 or bf16; all the numbers of
// a channel are f32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/include/activation.h"

namespace kiln::cpu {

// Results of this size are stored past the caches: they would push out of the largest cache what is
// read beside them, and be gone themselves when they are read.
inline constexpr std::size_t kStreamedBytes = std::size_t{32} << 20;

template <class T>
struct BatchnormSums {
  const T* x;
  const T* y;  // null without relu
  const T* dy;
  const float* mean;
  // With gelu, whose argument is (x - mean) * scale + shift; else null.
  const float* scale;
  const float* shift;
  T* kept;  // where the sums leave the gradient behind gelu, or null; may be dy
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
    template <class T> void batchnorm_moments(const T* x, std::int64_t rows, std::int64_t channels,
                                              double* mean, double* m2);
    // y = act((x - mean) * scale + beta). `stream`, here and below: the result goes past the caches
    // where its rows are whole vectors.
    template <class T>
    void batchnorm_apply(const T* x, T* y, std::int64_t rows, std::int64_t channels,
                         const float* mean, const float* scale, const float* beta,
                         Activation activation, bool stream);
    // dbeta = sum g and dgamma = sum g (x - mean), g = dy through the activation.
    template <class T> void batchnorm_sums(const BatchnormSums<T>& in, std::int64_t rows,
                                           std::int64_t channels, double* dbeta, double* dgamma);
    template <class T>
    void batchnorm_grad(const BatchnormSums<T>& in, const BatchnormTilt& tilt, T* dx,
                        std::int64_t rows, std::int64_t channels, bool add, bool stream);)
