// The problem of a 2-d pooling: windows of R x S over [N, H, W, C], floor mode.
#pragma once

#include <cstdint>

#include "engine/core/shape.h"

namespace kiln {

struct Pool2dShape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;
  std::int64_t r = 2, s = 2;
  std::int64_t stride_h = 2, stride_w = 2;
  std::int64_t pad_h = 0, pad_w = 0;

  std::int64_t p() const { return (h + 2 * pad_h - r) / stride_h + 1; }
  std::int64_t q() const { return (w + 2 * pad_w - s) / stride_w + 1; }
  Shape input() const { return {n, h, w, c}; }
  Shape output() const { return {n, p(), q(), c}; }
  bool operator==(const Pool2dShape&) const = default;
};

}  // namespace kiln
