// The two factors of a convolution written as a matrix product, without ever being stored: each
// operand computes, for an element of its matrix, where in a tensor the element lies. An element is
// named by its line and its place in the line; `outer` prepares what depends on the line, `inner`
// what depends on the place, and `at` joins both into an address, or null for a zero. Eight
// neighbouring places whose first is a multiple of 8 lie side by side in the tensor where its
// channel count is a multiple of 8.
#pragma once

#include "kernels/cuda/fast_divide.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln::cuda {

// Far outside every image, and still far outside after a window's reach is added.
inline constexpr int kOutside = -(1 << 29);

// A place by its number in [N, height, width].
struct PixelDivide {
  FastDivide width, height;
  std::uint32_t count = 0;
  PixelDivide(std::int64_t n, std::int64_t h, std::int64_t w)
      : width(w), height(h), count(static_cast<std::uint32_t>(n * h * w)) {}

  struct Pixel {
    int n, h, w;
  };
  __device__ Pixel operator()(std::uint32_t i) const {
    const std::uint32_t row = width.quotient(i), n = height.quotient(row);
    return {static_cast<int>(n), static_cast<int>(row - n * height.divisor()),
            static_cast<int>(i - row * width.divisor())};
  }
};

// A tap and a channel by their number in [R, S, channels].
struct TapDivide {
  FastDivide channels, taps_across;
  std::uint32_t count = 0;
  TapDivide(const Conv2dShape& s, std::int64_t channel_count)
      : channels(channel_count),
        taps_across(s.s),
        count(static_cast<std::uint32_t>(s.r * s.s * channel_count)) {}

  struct Tap {
    int r, s, channel;
  };
  __device__ Tap operator()(std::uint32_t i) const {
    const std::uint32_t tap = channels.quotient(i), r = taps_across.quotient(tap);
    return {static_cast<int>(r), static_cast<int>(tap - r * taps_across.divisor()),
            static_cast<int>(i - tap * channels.divisor())};
  }
};

struct Plane {
  int h = 0, w = 0;
};

// Element (output pixel, tap and channel) is x at that tap of that pixel's window: the matrix that
// "im2col" would write out.
template <class T, bool depth_contiguous>
struct Patches {
  static constexpr bool kDepthContiguous = depth_contiguous;
  const T* base;
  PixelDivide pixels;
  TapDivide taps;
  int height, width, channels;
  Plane stride, pad, dilation;

  Patches(const T* x, const Conv2dShape& s)
      : base(x),
        pixels(s.n, s.p(), s.q()),
        taps(s, s.c),
        height(static_cast<int>(s.h)),
        width(static_cast<int>(s.w)),
        channels(static_cast<int>(s.c)),
        stride{static_cast<int>(s.stride_h), static_cast<int>(s.stride_w)},
        pad{static_cast<int>(s.pad_h), static_cast<int>(s.pad_w)},
        dilation{static_cast<int>(s.dilation_h), static_cast<int>(s.dilation_w)} {}

  struct Outer {
    int row, h, w;  // row: of the image's first line, counted over the batch
  };
  struct Inner {
    int h, w, channel;
  };
  __device__ Outer outer(std::uint32_t i) const {
    if (i >= pixels.count) return {0, kOutside, kOutside};
    const auto at = pixels(i);
    return {at.n * height, at.h * stride.h - pad.h, at.w * stride.w - pad.w};
  }
  __device__ Inner inner(std::uint32_t j) const {
    if (j >= taps.count) return {kOutside, kOutside, 0};
    const auto tap = taps(j);
    return {tap.r * dilation.h, tap.s * dilation.w, tap.channel};
  }
  __device__ const T* at(const Outer& o, const Inner& i) const {
    const int h = o.h + i.h, w = o.w + i.w;
    if (h < 0 || h >= height || w < 0 || w >= width) return nullptr;
    return base + ((o.row + h) * width + w) * channels + i.channel;
  }
};

// Element (input pixel, tap and filter) is dy where that filter's window reads the pixel by that
// tap; zero where the stride skips it.
template <class T>
struct ReversedPatches {
  static constexpr bool kDepthContiguous = true;
  const T* base;
  PixelDivide pixels;
  TapDivide taps;
  FastDivide stride_h, stride_w;
  int height, width, channels;  // of dy
  Plane pad, dilation;

  ReversedPatches(const T* dy, const Conv2dShape& s)
      : base(dy),
        pixels(s.n, s.h, s.w),
        taps(s, s.k),
        stride_h(s.stride_h),
        stride_w(s.stride_w),
        height(static_cast<int>(s.p())),
        width(static_cast<int>(s.q())),
        channels(static_cast<int>(s.k)),
        pad{static_cast<int>(s.pad_h), static_cast<int>(s.pad_w)},
        dilation{static_cast<int>(s.dilation_h), static_cast<int>(s.dilation_w)} {}

  struct Outer {
    int row, h, w;
  };
  struct Inner {
    int h, w, channel;
  };
  __device__ Outer outer(std::uint32_t i) const {
    if (i >= pixels.count) return {0, kOutside, kOutside};
    const auto at = pixels(i);
    return {at.n * height, at.h + pad.h, at.w + pad.w};
  }
  __device__ Inner inner(std::uint32_t j) const {
    if (j >= taps.count) return {-kOutside, -kOutside, 0};
    const auto tap = taps(j);
    return {tap.r * dilation.h, tap.s * dilation.w, tap.channel};
  }
  __device__ const T* at(const Outer& o, const Inner& i) const {
    const int h = o.h - i.h, w = o.w - i.w;
    if (h < 0 || w < 0) return nullptr;
    const auto p = static_cast<int>(stride_h.quotient(static_cast<std::uint32_t>(h)));
    const auto q = static_cast<int>(stride_w.quotient(static_cast<std::uint32_t>(w)));
    const bool read = p * static_cast<int>(stride_h.divisor()) == h &&
                      q * static_cast<int>(stride_w.divisor()) == w && p < height && q < width;
    return read ? base + ((o.row + p) * width + q) * channels + i.channel : nullptr;
  }
};

// Element (i, j) of a matrix in memory, `length` elements a line.
template <class T, bool depth_contiguous>
struct Lines {
  static constexpr bool kDepthContiguous = depth_contiguous;
  const T* base;
  std::uint32_t count, length;

  using Outer = int;
  using Inner = int;
  __device__ int outer(std::uint32_t i) const {
    return i < count ? static_cast<int>(i * length) : -1;
  }
  __device__ int inner(std::uint32_t j) const { return j < length ? static_cast<int>(j) : -1; }
  __device__ const T* at(int o, int i) const { return o < 0 || i < 0 ? nullptr : base + o + i; }
};

// Element (tap and filter, channel) of the filters [K, R, S, C]: what ReversedPatches is
// multiplied with.
template <class T>
struct FiltersByTap {
  static constexpr bool kDepthContiguous = false;
  const T* base;
  TapDivide taps;
  int tap_count, taps_across, channels;

  FiltersByTap(const T* w, const Conv2dShape& s)
      : base(w),
        taps(s, s.k),
        tap_count(static_cast<int>(s.r * s.s)),
        taps_across(static_cast<int>(s.s)),
        channels(static_cast<int>(s.c)) {}

  using Outer = int;
  using Inner = int;
  __device__ int outer(std::uint32_t i) const {
    if (i >= taps.count) return -1;
    const auto tap = taps(i);
    return (tap.channel * tap_count + tap.r * taps_across + tap.s) * channels;
  }
  __device__ int inner(std::uint32_t j) const {
    return static_cast<int>(j) < channels ? static_cast<int>(j) : -1;
  }
  __device__ const T* at(int o, int i) const { return o < 0 || i < 0 ? nullptr : base + o + i; }
};

}  // namespace kiln::cuda
