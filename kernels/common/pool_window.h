// The part of a pooling window that lies inside the picture, along one axis.
#pragma once

#include <cstdint>

#include "engine/core/rng.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

// Places start + tap for tap in [begin, end) are inside [0, extent).
struct WindowTaps {
  std::int64_t start, begin, end;
};

KILN_HOST_DEVICE constexpr WindowTaps window_taps(std::int64_t output, std::int64_t stride,
                                                  std::int64_t pad, std::int64_t window,
                                                  std::int64_t extent) {
  const std::int64_t start = output * stride - pad;
  const std::int64_t begin = start < 0 ? -start : 0;
  const std::int64_t end = extent - start < window ? extent - start : window;
  return {start, begin, end};
}
KILN_HOST_DEVICE constexpr WindowTaps row_taps(const Pool2dShape& s, std::int64_t p) {
  return window_taps(p, s.stride_h, s.pad_h, s.r, s.h);
}
KILN_HOST_DEVICE constexpr WindowTaps column_taps(const Pool2dShape& s, std::int64_t q) {
  return window_taps(q, s.stride_w, s.pad_w, s.s, s.w);
}
// What the sum of window (p, q) is divided by.
KILN_HOST_DEVICE constexpr std::int64_t window_divisor(const Pool2dShape& s, std::int64_t p,
                                                       std::int64_t q, bool count_include_pad) {
  const WindowTaps rows = row_taps(s, p), columns = column_taps(s, q);
  return count_include_pad ? s.r * s.s : (rows.end - rows.begin) * (columns.end - columns.begin);
}

}  // namespace kiln
