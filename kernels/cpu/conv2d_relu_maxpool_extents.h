// From the shapes of a call to the plain extents of the vectorised bodies.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_simd.h"
#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln::cpu {

inline ConvPoolExtents extents_of(const Conv2dShape& s, const Pool2dShape& pool) {
  return {.h = static_cast<int>(s.h),
          .w = static_cast<int>(s.w),
          .c = static_cast<int>(s.c),
          .k = static_cast<int>(s.k),
          .r = static_cast<int>(s.r),
          .s = static_cast<int>(s.s),
          .pad_h = static_cast<int>(s.pad_h),
          .pad_w = static_cast<int>(s.pad_w),
          .p = static_cast<int>(pool.p()),
          .q = static_cast<int>(pool.q())};
}

}  // namespace kiln::cpu
