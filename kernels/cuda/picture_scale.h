// Bytes to a network's numbers: what normalize_image and load_batch share, so that both give the
// same bits.
#pragma once

#include "kernels/cuda/softmax_row.h"

namespace kiln::cuda {

// By constants, per channel.
template <class T>
struct ConstantScale {
  std::int64_t channels;
  double centre[4], scale[4];  // of bytes

  template <class Args>
  static ConstantScale of(const Args& a, std::int64_t channels) {
    ConstantScale body{.channels = channels, .centre = {}, .scale = {}};
    for (std::size_t channel = 0; channel < 4; ++channel) {
      body.centre[channel] = 255 * a.mean[channel];
      body.scale[channel] = a.inv_std[channel] / 255;
    }
    return body;
  }
  __device__ Accumulated<T> operator()(std::int64_t i, float x) const {
    const std::int64_t c = i % channels;
    return static_cast<Accumulated<T>>((static_cast<double>(x) - centre[c]) * scale[c]);
  }
};

// By a picture's own mean and deviation. All lanes of a warp call it, and write y together; byte(i)
// is byte i of the picture.
template <class T, class Byte>
__device__ void scale_picture_by_itself(std::int64_t bytes, const Byte& byte, T* y) {
  std::uint64_t sum = 0, squares = 0;
  for (std::int64_t i = threadIdx.x; i < bytes; i += kWarp) {
    const std::uint64_t b = byte(i);
    sum += b;
    squares += b * b;
  }
  const double count = static_cast<double>(bytes);
  const double mean = static_cast<double>(warp_reduce(sum, Sum{})) / count;
  const double variance = static_cast<double>(warp_reduce(squares, Sum{})) / count - mean * mean;
  const double deviation = std::sqrt(variance > 0 ? variance : 0.0), least = 255 / std::sqrt(count);
  const double scale = 1 / (deviation > least ? deviation : least);
  for (std::int64_t i = threadIdx.x; i < bytes; i += kWarp)
    y[i] = stored<T>(static_cast<Accumulated<T>>((static_cast<double>(byte(i)) - mean) * scale));
}

}  // namespace kiln::cuda
