// Where an element of an [N,H,W,C] tensor stands.
#pragma once

#include "kernels/common/pool_window.h"
#include "kernels/cuda/gpu.h"

namespace kiln::cuda {

struct Place {
  std::int64_t n, h, w, c;
};

template <class U>
__device__ inline Place divided(U i, U height, U width, U channels) {
  const U pixel = i / channels, row = pixel / width;
  return {row / height, row % height, pixel % width, i % channels};
}
// A GPU divides 64 bits in several times the instructions of 32.
__device__ inline Place place_of(std::int64_t i, std::int64_t height, std::int64_t width,
                                 std::int64_t channels) {
  if (i > 0x7fffffff) return divided(i, height, width, channels);
  return divided(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(height),
                 static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(channels));
}

// The windows along one axis that hold `place`: first, and one behind the last.
struct WindowRange {
  std::int64_t first, end;
};
__device__ inline WindowRange windows_over(std::int64_t place, std::int64_t stride,
                                           std::int64_t pad, std::int64_t window,
                                           std::int64_t window_count) {
  const std::int64_t low = place + pad - window + 1;
  const std::int64_t first = low <= 0 ? 0 : (low + stride - 1) / stride;
  const std::int64_t last = (place + pad) / stride;
  return {first, last < window_count ? last + 1 : window_count};
}

}  // namespace kiln::cuda
