// conv2d_relu_maxpool and its gradient for one image, in plain loops of any type: the f64 body.
// Contracts: kernels/include/conv2d_relu_maxpool.h and ..._grad.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln::cpu::plain {

// Calls f(offset into the image, offset into one filter) for every tap of the filter that, laid
// with its corner on element (h, w) of the padded image, falls inside the picture.
template <class F>
void for_each_tap(const Conv2dShape& s, std::int64_t h, std::int64_t w, const F& f) {
  for (std::int64_t r = 0; r < s.r; ++r) {
    const std::int64_t row = h + r - s.pad_h;
    if (row < 0 || row >= s.h) continue;
    for (std::int64_t j = 0; j < s.s; ++j) {
      const std::int64_t column = w + j - s.pad_w;
      if (column < 0 || column >= s.w) continue;
      for (std::int64_t c = 0; c < s.c; ++c)
        f((row * s.w + column) * s.c + c, (r * s.s + j) * s.c + c);
    }
  }
}

// y and index of one window and filter; `corner` is the window's first element of z.
template <class T>
T conv_relu_maxpool_window(const Conv2dShape& s, const T* x, const T* filter, T bias,
                           std::int64_t h, std::int64_t w, std::uint8_t* index) {
  T best = 0;
  for (int at = 0; at < 4; ++at) {
    T z = bias;
    for_each_tap(s, h + at / 2, w + at % 2,
                 [&](std::int64_t from, std::int64_t tap) { z += x[from] * filter[tap]; });
    if (at == 0 || z > best || z != z) {
      best = z;
      *index = static_cast<std::uint8_t>(at);
    }
  }
  return T(0) > best ? T(0) : best;  // in this order a NaN stays
}

template <class T>
void conv_relu_maxpool_image(const Conv2dShape& s, const Pool2dShape& pool, const T* x, const T* w,
                             const T* bias, T* y, std::uint8_t* index) {
  for (std::int64_t p = 0; p < pool.p(); ++p)
    for (std::int64_t q = 0; q < pool.q(); ++q)
      for (std::int64_t k = 0; k < s.k; ++k) {
        const T* filter = w + k * s.r * s.s * s.c;
        const std::int64_t at = (p * pool.q() + q) * s.k + k;
        std::uint8_t place = 0;
        y[at] = conv_relu_maxpool_window(s, x, filter, bias == nullptr ? T(0) : bias[k], 2 * p,
                                         2 * q, &place);
        if (index != nullptr) index[at] = place;
      }
}

// Adds one image's gradients to dw, dbias and, unless it is null, dx.
template <class T>
void conv_relu_maxpool_image_grad(const Conv2dShape& s, const Pool2dShape& pool, const T* x,
                                  const T* w, const T* y, const std::uint8_t* index, const T* dy,
                                  T* dx, T* dw, T* dbias) {
  for (std::int64_t p = 0; p < pool.p(); ++p)
    for (std::int64_t q = 0; q < pool.q(); ++q)
      for (std::int64_t k = 0; k < s.k; ++k) {
        const std::int64_t at = (p * pool.q() + q) * s.k + k;
        if (!(y[at] > 0)) continue;
        const std::int64_t filter = k * s.r * s.s * s.c;
        const T g = dy[at];
        dbias[k] += g;
        for_each_tap(s, 2 * p + index[at] / 2 % 2, 2 * q + index[at] % 2,
                     [&](std::int64_t from, std::int64_t tap) {
                       dw[filter + tap] += g * x[from];
                       if (dx != nullptr) dx[from] += g * w[filter + tap];
                     });
      }
}

}  // namespace kiln::cpu::plain
