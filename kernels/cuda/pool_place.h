// Where an element of an [N,H,W,C] tensor stands.
#pragma once

#include "kernels/common/pool_window.h"
#include "kernels/cuda/gpu.h"

namespace kiln::cuda {

struct Place {
  std::int64_t n, h, w, c;
};

__device__ inline Place place_of(std::int64_t i, std::int64_t height, std::int64_t width,
                                 std::int64_t channels) {
  const std::int64_t c = i % channels, w = i / channels % width;
  const std::int64_t row = i / channels / width;
  return {row / height, row % height, w, c};
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
