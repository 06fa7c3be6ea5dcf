// A Pool2dShape for the vectorised pooling rows.
#pragma once

#include "kernels/cpu/pool_simd.h"
#include "kernels/cpu/visit_vectorised.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln::cpu {

inline PoolJob pool_job(const Pool2dShape& s, bool count_include_pad = true) {
  return {s.h,        s.w,     s.c,     s.r,   s.s,   s.stride_h,
          s.stride_w, s.pad_h, s.pad_w, s.p(), s.q(), count_include_pad};
}

}  // namespace kiln::cpu
