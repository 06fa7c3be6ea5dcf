// Shape rules that all pooling ops share.
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

inline void require_pool_shape(std::string_view op, const Pool2dShape& s) {
  require(s.n >= 0 && s.h >= 1 && s.w >= 1 && s.c >= 1, op, "the picture has no extent");
  require(s.r >= 1 && s.s >= 1 && s.stride_h >= 1 && s.stride_w >= 1, op,
          "window and stride must be at least 1");
  require(s.pad_h >= 0 && s.pad_w >= 0 && 2 * s.pad_h <= s.r && 2 * s.pad_w <= s.s, op,
          "padding must be at most half the window");
  require(s.h + 2 * s.pad_h >= s.r && s.w + 2 * s.pad_w >= s.s, op,
          "the window is larger than the padded picture");
}

}  // namespace kiln
