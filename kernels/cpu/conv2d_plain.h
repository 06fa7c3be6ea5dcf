// Convolution by plain loops, for every shape and for f32 and f64: what gradient checks in double
// run on. Each function works on one image.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/include/activation.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln::cpu::plain {

// Calls body(x_offset, w_offset) for every tap of output pixel (p, q) that lies inside the image:
// the offset of its pixel in x, and of its tap in one output channel's weights.
template <class Body>
void for_each_tap(const Conv2dShape& s, std::int64_t p, std::int64_t q, const Body& body) {
  const std::int64_t group_c = s.c / s.groups;
  for (std::int64_t r = 0; r < s.r; ++r) {
    const std::int64_t h = p * s.stride_h - s.pad_h + r * s.dilation_h;
    if (h < 0 || h >= s.h) continue;
    for (std::int64_t u = 0; u < s.s; ++u) {
      const std::int64_t w = q * s.stride_w - s.pad_w + u * s.dilation_w;
      if (w < 0 || w >= s.w) continue;
      body((h * s.w + w) * s.c, (r * s.s + u) * group_c);
    }
  }
}

// x, y: one image. bias may be null.
template <class T>
void conv2d_image(const Conv2dShape& s, const T* x, const T* w, const T* bias,
                  Activation activation, T* y) {
  const std::int64_t group_c = s.c / s.groups, group_k = s.k / s.groups;
  const std::int64_t tap_count = s.r * s.s * group_c;
  for (std::int64_t p = 0; p < s.p(); ++p) {
    for (std::int64_t q = 0; q < s.q(); ++q) {
      for (std::int64_t k = 0; k < s.k; ++k) {
        const T* wk = w + k * tap_count;
        T sum = 0;
        for_each_tap(s, p, q, [&](std::int64_t x_offset, std::int64_t w_offset) {
          const T* xc = x + x_offset + k / group_k * group_c;
          for (std::int64_t c = 0; c < group_c; ++c) sum += xc[c] * wk[w_offset + c];
        });
        if (bias != nullptr) sum += bias[k];
        *y++ = activation == Activation::relu && sum < 0 ? T(0) : sum;
      }
    }
  }
}

// Adds the gradient of one image's input to dx.
template <class T>
void conv2d_image_dx(const Conv2dShape& s, const T* w, const T* dy, T* dx) {
  const std::int64_t group_c = s.c / s.groups, group_k = s.k / s.groups;
  const std::int64_t tap_count = s.r * s.s * group_c;
  for (std::int64_t p = 0; p < s.p(); ++p) {
    for (std::int64_t q = 0; q < s.q(); ++q) {
      for (std::int64_t k = 0; k < s.k; ++k) {
        const T g = *dy++;
        const T* wk = w + k * tap_count;
        for_each_tap(s, p, q, [&](std::int64_t x_offset, std::int64_t w_offset) {
          T* dxc = dx + x_offset + k / group_k * group_c;
          for (std::int64_t c = 0; c < group_c; ++c) dxc[c] += g * wk[w_offset + c];
        });
      }
    }
  }
}

// Adds one image's share to dw and, where it is not null, to dbias.
template <class T>
void conv2d_image_dw(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) {
  const std::int64_t group_c = s.c / s.groups, group_k = s.k / s.groups;
  const std::int64_t tap_count = s.r * s.s * group_c;
  for (std::int64_t p = 0; p < s.p(); ++p) {
    for (std::int64_t q = 0; q < s.q(); ++q) {
      for (std::int64_t k = 0; k < s.k; ++k) {
        const T g = *dy++;
        if (dbias != nullptr) dbias[k] += g;
        T* dwk = dw + k * tap_count;
        for_each_tap(s, p, q, [&](std::int64_t x_offset, std::int64_t w_offset) {
          const T* xc = x + x_offset + k / group_k * group_c;
          for (std::int64_t c = 0; c < group_c; ++c) dwk[w_offset + c] += g * xc[c];
        });
      }
    }
  }
}

}  // namespace kiln::cpu::plain
