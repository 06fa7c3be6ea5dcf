// The oracle of conv2d_relu_maxpool: the definition, dense, in double, one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln::reference {

struct Conv2dReluMaxpoolForward {
  std::vector<double> z;            // [N,P,Q,K]: the convolution with its bias
  std::vector<double> y;            // [N,P/2,Q/2,K]
  std::vector<std::uint8_t> index;  // as y
};

struct Conv2dReluMaxpoolGradients {
  std::vector<double> dx, dw, dbias;
};

// Calls f(x offset, w offset) for every product of z[n,h,w,k]; padding has none.
template <class F>
void for_each_product(const Conv2dShape& s, std::int64_t n, std::int64_t h, std::int64_t w,
                      std::int64_t k, const F& f) {
  for (std::int64_t r = 0; r < s.r; ++r)
    for (std::int64_t j = 0; j < s.s; ++j)
      for (std::int64_t c = 0; c < s.c; ++c) {
        const std::int64_t row = h + r - s.pad_h, column = w + j - s.pad_w;
        if (row >= 0 && row < s.h && column >= 0 && column < s.w)
          f(((n * s.h + row) * s.w + column) * s.c + c, ((k * s.r + r) * s.s + j) * s.c + c);
      }
}

// Calls f(n, p, q, k, offset) for every element of the pooled output.
template <class F>
void for_each_window(const Pool2dShape& pool, const F& f) {
  std::int64_t at = 0;
  for (std::int64_t n = 0; n < pool.n; ++n)
    for (std::int64_t p = 0; p < pool.p(); ++p)
      for (std::int64_t q = 0; q < pool.q(); ++q)
        for (std::int64_t k = 0; k < pool.c; ++k) f(n, p, q, k, at++);
}

// An empty `bias` counts as zeros.
template <class T>
Conv2dReluMaxpoolForward conv2d_relu_maxpool(const Conv2dShape& s, const Pool2dShape& pool,
                                             std::span<const T> x, std::span<const T> w,
                                             std::span<const T> bias) {
  Conv2dReluMaxpoolForward out;
  out.z.resize(s.output().element_count());
  std::size_t at = 0;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t h = 0; h < s.p(); ++h)
      for (std::int64_t v = 0; v < s.q(); ++v)
        for (std::int64_t k = 0; k < s.k; ++k) {
          double sum = bias.empty() ? 0.0 : double(bias[k]);
          for_each_product(s, n, h, v, k, [&](std::int64_t i, std::int64_t j) {
            sum += double(x[i]) * double(w[j]);
          });
          out.z[at++] = sum;
        }
  for_each_window(pool, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t k, auto) {
    const auto z = [&](int place) {
      return out.z[((n * s.p() + 2 * p + place / 2) * s.q() + 2 * q + place % 2) * s.k + k];
    };
    int best = 0;
    for (int place = 1; place < 4; ++place)
      if (z(place) > z(best) || z(place) != z(place)) best = place;
    out.index.push_back(static_cast<std::uint8_t>(best));
    out.y.push_back(z(best) < 0 ? 0 : z(best));
  });
  return out;
}

// The dense way: dL/dz in full, then the gradients of an ordinary convolution. `y` and `index` are
// those of the forward pass under test, so that a tie broken by rounding is no difference.
template <class T>
Conv2dReluMaxpoolGradients conv2d_relu_maxpool_grad(const Conv2dShape& s, const Pool2dShape& pool,
                                                    std::span<const T> x, std::span<const T> w,
                                                    std::span<const T> y,
                                                    std::span<const std::uint8_t> index,
                                                    std::span<const T> dy) {
  std::vector<double> dz(s.output().element_count(), 0.0);
  for_each_window(
      pool, [&](std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t k, std::int64_t at) {
        const std::int64_t h = 2 * p + index[at] / 2, v = 2 * q + index[at] % 2;
        if (y[at] > 0) dz[((n * s.p() + h) * s.q() + v) * s.k + k] = double(dy[at]);
      });
  Conv2dReluMaxpoolGradients out{std::vector<double>(x.size()), std::vector<double>(w.size()),
                                 std::vector<double>(s.k)};
  std::size_t at = 0;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t h = 0; h < s.p(); ++h)
      for (std::int64_t v = 0; v < s.q(); ++v)
        for (std::int64_t k = 0; k < s.k; ++k) {
          const double g = dz[at++];
          out.dbias[k] += g;
          for_each_product(s, n, h, v, k, [&](std::int64_t i, std::int64_t j) {
            out.dx[i] += g * double(w[j]);
            out.dw[j] += g * double(x[i]);
          });
        }
  return out;
}

}  // namespace kiln::reference
