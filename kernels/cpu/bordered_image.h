// An image in the middle of a border of zeros, so that a padded convolution needs no conditions.
// For files compiled by kiln_simd_sources only.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_simd.h"

#ifndef KILN_ISA
#error "kernels/cpu/bordered_image.h is for files compiled once per instruction set"
#endif

namespace kiln::cpu::KILN_ISA {

inline bool has_border(const ConvPoolExtents& e) { return e.pad_h > 0 || e.pad_w > 0; }
inline int bordered_row(const ConvPoolExtents& e) { return (e.w + 2 * e.pad_w) * e.c; }
inline std::int64_t bordered_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.h + 2 * e.pad_h} * bordered_row(e);
}

// The first picture element inside the border.
inline std::int64_t border_offset(const ConvPoolExtents& e) {
  return std::int64_t{e.pad_h} * bordered_row(e) + e.pad_w * e.c;
}

// Copies the picture `x` into the middle of `bordered`, whose border is zero already.
inline void copy_inside_border(const ConvPoolExtents& e, const float* x, float* bordered) {
  float* to = bordered + border_offset(e);
  const int row = e.w * e.c;
  if (e.pad_w == 0) {  // the rows are one block
    __builtin_memcpy(to, x, sizeof(float) * row * e.h);
    return;
  }
  for (int h = 0; h < e.h; ++h, x += row, to += bordered_row(e))
    __builtin_memcpy(to, x, sizeof(float) * row);
}

}  // namespace kiln::cpu::KILN_ISA
