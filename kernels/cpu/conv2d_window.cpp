#include "kernels/cpu/conv2d_window.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {

WindowAxis forward_axis(std::int64_t source, std::int64_t outputs, std::int64_t window,
                        std::int64_t stride, std::int64_t pad, std::int64_t dilation) {
  WindowAxis axis;
  axis.source = source;
  axis.outputs = outputs;
  axis.stride = stride;
  axis.first = -pad;
  axis.taps = window;
  axis.step = dilation;
  return axis;
}

// h + pad - r*dilation = p*stride. The r that solve it for one phase are r0, r0 + g, r0 + 2g...
// with g = stride / gcd(stride, dilation); p falls by g*dilation/stride from one to the next, so
// the taps are taken from the largest r down.
WindowAxis input_grad_axis(std::int64_t extent, std::int64_t outputs, std::int64_t window,
                           std::int64_t stride, std::int64_t pad, std::int64_t dilation,
                           std::int64_t phase) {
  WindowAxis axis;
  axis.source = outputs;
  axis.out_first = ((phase - pad) % stride + stride) % stride;
  axis.out_step = stride;
  axis.outputs = std::max<std::int64_t>(0, (extent - axis.out_first + stride - 1) / stride);
  const std::int64_t gap = stride / std::gcd(stride, dilation);
  std::int64_t r0 = 0;
  while (r0 < gap && (axis.out_first + pad - r0 * dilation) % stride != 0) ++r0;
  if (r0 >= gap || r0 >= window) return axis;
  axis.taps = (window - 1 - r0) / gap + 1;
  const std::int64_t last = r0 + (axis.taps - 1) * gap;
  axis.first = (axis.out_first + pad - last * dilation) / stride;  // exact
  axis.step = gap * dilation / stride;
  axis.weight_first = last;
  axis.weight_step = -gap;
  return axis;
}

std::int64_t Window::band_rows() const {
  constexpr std::int64_t kBandFloats = 512 * 1024 / 4;
  const std::int64_t row = std::max<std::int64_t>(1, padded_width() * channels);
  const std::int64_t window = std::max<std::int64_t>(0, h.taps - 1) * h.step + 1;
  const std::int64_t rows = (kBandFloats / row - window) / h.stride + 1;
  return std::clamp<std::int64_t>(rows, 1, std::max<std::int64_t>(1, h.outputs));
}

std::int64_t Window::images_at_once() const {
  constexpr std::int64_t kFloats = 512 * 1024 / 4, kMost = 8;
  if (band_rows() < h.outputs) return 1;
  const std::int64_t image =
      needs_copy() ? padded_count(h.outputs) : h.source * w.source * channels;
  return std::clamp<std::int64_t>(kFloats / std::max<std::int64_t>(1, image), 1, kMost);
}

Window forward_window(const Conv2dShape& s) {
  return {.h = forward_axis(s.h, s.p(), s.r, s.stride_h, s.pad_h, s.dilation_h),
          .w = forward_axis(s.w, s.q(), s.s, s.stride_w, s.pad_w, s.dilation_w),
          .channels = s.c};
}

Window input_grad_window(const Conv2dShape& s, std::int64_t phase_h, std::int64_t phase_w) {
  return {.h = input_grad_axis(s.h, s.p(), s.r, s.stride_h, s.pad_h, s.dilation_h, phase_h),
          .w = input_grad_axis(s.w, s.q(), s.s, s.stride_w, s.pad_w, s.dilation_w, phase_w),
          .channels = s.k};
}

WindowSource window_source(const Window& window, const float* image, std::int64_t begin,
                           std::int64_t end, float* padded) {
  if (!window.needs_copy())
    return {image + window.w.low(0) * window.channels, 0, window.w.source * window.channels};
  return copied_window(
      window, begin, end, padded, [=](std::int64_t from, float* to, std::int64_t count) {
        std::memcpy(to, image + from, static_cast<std::size_t>(count) * sizeof *to);
      });
}

WindowSource widened_window_source(const Window& window, const BFloat16* image, std::int64_t begin,
                                   std::int64_t end, float* padded) {
  return copied_window(window, begin, end, padded,
                       [=](std::int64_t from, float* to, std::int64_t count) {
                         KILN_CALL_ISA(widen(image + from, to, count));
                       });
}

}  // namespace kiln::cpu
