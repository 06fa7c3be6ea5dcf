// A convolution along its two axes, as the f32 kernels see it: output index i reads the source at
//
//   i * stride + first + t * step,   t < taps,
//
// and zero where that lies outside the source. The forward pass is one such pair of axes. The
// gradient of the input is stride_h * stride_w of them, one for every phase of the stride: dx at
// index h = out_first + i * out_step sums dy at i + first + t * step over the taps that meet h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/core/half.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln::cpu {

struct Range {
  std::int64_t first = 0, last = 0;
};

struct WindowAxis {
  std::int64_t source = 0, outputs = 0;
  std::int64_t stride = 1, first = 0, taps = 0, step = 1;
  std::int64_t weight_first = 0, weight_step = 1;  // tap t uses weight weight_first + t*weight_step
  std::int64_t out_first = 0, out_step = 1;        // where output i lands

  // Source indices [low, high) that outputs [begin, end) read; may lie outside the source.
  std::int64_t low(std::int64_t begin) const { return begin * stride + first; }
  std::int64_t high(std::int64_t end) const {
    return (end - 1) * stride + first + (taps > 0 ? (taps - 1) * step : 0) + 1;
  }
  bool inside() const { return taps == 0 || (first >= 0 && high(outputs) <= source); }
  // Taps [first, last) of output i, and outputs [first, last) of tap t, that read inside the
  // source; empty ranges have last <= first.
  Range inner_taps(std::int64_t i) const { return inner(taps, step, low(i)); }
  Range inner_outputs(std::int64_t t) const { return inner(outputs, stride, first + t * step); }

 private:
  // The t in [0, count) with 0 <= at + t * distance < source.
  Range inner(std::int64_t count, std::int64_t distance, std::int64_t at) const {
    const std::int64_t begin = at < 0 ? (-at + distance - 1) / distance : 0;
    const std::int64_t end = at < source ? (source - 1 - at) / distance + 1 : 0;
    return {begin, end < count ? end : count};
  }
};

WindowAxis forward_axis(std::int64_t source, std::int64_t outputs, std::int64_t window,
                        std::int64_t stride, std::int64_t pad, std::int64_t dilation);
// The axis of dx's indices h with (h + pad) % stride == phase, over dy. `extent` is dx's. Its
// `outputs` may be 0, and its `taps` too (then dx is zero there).
WindowAxis input_grad_axis(std::int64_t extent, std::int64_t outputs, std::int64_t window,
                           std::int64_t stride, std::int64_t pad, std::int64_t dilation,
                           std::int64_t phase);

struct Window {
  WindowAxis h, w;
  std::int64_t channels = 0;  // of a source pixel

  std::int64_t tap_count() const { return h.taps * w.taps; }
  // Rows outside the source are skipped, so only the width asks for a padded copy.
  bool needs_copy() const { return tap_count() > 0 && !w.inside(); }
  std::int64_t padded_width() const { return w.high(w.outputs) - w.low(0); }
  // Floats of the padded copy of what `rows` output rows read.
  std::int64_t padded_count(std::int64_t rows) const {
    const std::int64_t most = h.high(rows) - h.low(0);
    return (most < h.source ? most : h.source) * padded_width() * channels;
  }
  // Output rows in one piece of work: as many as keep the source they read in half of the second
  // level cache, at least one.
  std::int64_t band_rows() const;
  // Images in one piece of work: several where they are small, because weights are then read once
  // for all of them.
  std::int64_t images_at_once() const;
};

Window forward_window(const Conv2dShape& shape);
Window input_grad_window(const Conv2dShape& shape, std::int64_t phase_h, std::int64_t phase_w);

// What the kernels read: source row h, column w.low(0) + j, channel c of one image stands at
// rows[(h - first_row) * row_step + j * channels + c], for the rows that the outputs asked for read
// inside the source.
struct WindowSource {
  const float* rows = nullptr;
  std::int64_t first_row = 0, row_step = 0;
};

// Points into `image` where the window needs no copy, else copies the rows that output rows
// [begin, end) read to `padded`, with zeros beside them.
WindowSource window_source(const Window& window, const float* image, std::int64_t begin,
                           std::int64_t end, float* padded);
// Of a bf16 image, widened: always a copy.
WindowSource widened_window_source(const Window& window, const BFloat16* image, std::int64_t begin,
                                   std::int64_t end, float* padded);

// The copy: copy(from, to, count) writes `count` elements of the image from element `from` on.
template <class Copy>
WindowSource copied_window(const Window& window, std::int64_t begin, std::int64_t end,
                           float* padded, const Copy& copy) {
  const WindowAxis &h = window.h, &w = window.w;
  const std::int64_t c = window.channels;
  const std::int64_t top = std::clamp<std::int64_t>(h.low(begin), 0, h.source);
  const std::int64_t bottom = std::clamp<std::int64_t>(h.high(end), top, h.source);
  const std::int64_t left = w.low(0), width = window.padded_width();
  const std::int64_t copy_begin = std::clamp<std::int64_t>(-left, 0, width);
  const std::int64_t copy_end = std::clamp<std::int64_t>(w.source - left, copy_begin, width);
  for (std::int64_t row = top; row < bottom; ++row) {
    float* to = padded + (row - top) * width * c;
    std::fill_n(to, copy_begin * c, 0.0f);
    if (copy_end > copy_begin)
      copy((row * w.source + left + copy_begin) * c, to + copy_begin * c,
           (copy_end - copy_begin) * c);
    std::fill_n(to + copy_end * c, (width - copy_end) * c, 0.0f);
  }
  return {padded, top, width * c};
}

}  // namespace kiln::cpu
