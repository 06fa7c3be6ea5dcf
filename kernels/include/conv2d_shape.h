// The problem of a 2-d convolution, apart from data.
//
//   y[n,p,q,k] = bias[k] + sum_{r,s,c} x[n, p*stride_h - pad_h + r*dilation_h,
//                                           q*stride_w - pad_w + s*dilation_w, g*Cg + c] *
//                                           w[k,r,s,c]
// with g = k / (K/groups) and Cg = C/groups; x is zero outside its borders.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/shape.h"

namespace kiln {

struct Conv2dShape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;  // input [N, H, W, C]
  std::int64_t k = 1, r = 1, s = 1;         // weights [K, R, S, C/groups]
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;

  std::int64_t p() const { return (h + 2 * pad_h - dilation_h * (r - 1) - 1) / stride_h + 1; }
  std::int64_t q() const { return (w + 2 * pad_w - dilation_w * (s - 1) - 1) / stride_w + 1; }
  // Multiply-adds of one forward pass, padding counted as work; one is 2 FLOP.
  std::int64_t multiply_count() const { return n * p() * q() * k * r * s * (c / groups); }
  Shape input() const { return {n, h, w, c}; }
  Shape weights() const { return {k, r, s, c / groups}; }
  Shape output() const { return {n, p(), q(), k}; }
  bool operator==(const Conv2dShape&) const = default;
};

// How a call is given its filters.
enum class Filters {
  plain,        // as documented
  packed,       // in the order that the kernel reads them in
  transformed,  // by Winograd's algorithm, which then computes the call (conv2d of 3x3, stride 1)
};

// "64x32x32x3 -> 6, 5x5" with stride, pad, dilation and groups where they are not the default.
std::string to_string(const Conv2dShape& shape);

}  // namespace kiln
