// Our own f32 convolution on the micro-kernel of gemm_tile.h: NHWC, no im2col. Weights are packed,
// in every call or once, into panels of as many output channels as a register block has columns;
// each block of output pixels then reads the image in place (or a padded copy of it that fits the
// cache).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/core/thread_pool.h"
#include "kernels/cpu/conv2d_window.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cpu {

// Bytes of scratch, for a number of threads and of partial sums of the weight gradient.
std::size_t conv2d_f32_scratch_bytes(const Conv2dShape& shape, int thread_count,
                                     Filters filters = Filters::plain);
std::size_t conv2d_dx_f32_scratch_bytes(const Conv2dShape& shape, int thread_count);
std::size_t conv2d_dw_f32_scratch_bytes(const Conv2dShape& shape, int thread_count, int parts);

std::int64_t conv2d_f32_packed_count(const Conv2dShape& shape);
void conv2d_f32_pack(const Conv2dShape& shape, const float* w, float* packed);

void conv2d_f32(Context& context, const Conv2dArgs& args);
void conv2d_dx_f32(Context& context, const Conv2dGradArgs& args);
void conv2d_dw_f32(Context& context, const Conv2dGradArgs& args);

// dw and dbias, f32, of bf16 x and dy, widened piece by piece; no depthwise problems.
std::size_t conv2d_dw_widening_scratch_bytes(const Conv2dShape& shape, int thread_count, int parts);
void conv2d_dw_widening(Context& context, const Conv2dGradArgs& args, int parts);
// dw and dbias, f32, of bf16 x and dy by dot products of pairs of images; only where
// has_bf16_dots(). At most `parts` partial sums.
std::size_t conv2d_dw_pairs_scratch_bytes(const Conv2dShape& shape, int thread_count, int parts);
void conv2d_dw_pairs(Context& context, const Conv2dGradArgs& args, int parts);

// One pass of a window over a batch of images, of floats or of words that hold bf16 pairs of
// channels (kernels/cpu/gemm_tile.h). Sums over taps and the channels of one group:
//   out[n, i, j, group*columns + k] = start[...] + sum source[n, .., group*depth + d] *
//   panel[..][k]
struct WindowPass {
  const GemmTile* tile = nullptr;
  Window window;
  std::int64_t image_count = 1, group_count = 1;
  std::int64_t depth = 0, columns = 0;      // channels per group: summed over, and produced
  const float* source = nullptr;            // [n, window.h.source, window.w.source, channels]
  const BFloat16* narrow_source = nullptr;  // instead of source: widened piece by piece
  void* out = nullptr;  // [n, out_height, out_width, out_channels] of what the tile writes
  std::int64_t out_height = 0, out_width = 0, out_channels = 0;
  const float* panels = nullptr;  // per group and column block: [taps_h][taps_w][depth][width]
  const float* start = nullptr;   // [out_channels] or null
  bool add = false, relu = false;
  float* padded = nullptr;  // per thread: copy_stride(window) floats, or null where that is 0
  std::int64_t padded_stride = 0;
};

void run_window_pass(ThreadPool& pool, const WindowPass& pass);

// Floats of a thread's copy of what one piece of a pass reads. `narrow`: from narrow_source, which
// is always copied.
std::int64_t copy_stride(const Window& window, bool narrow);

// Moving this few floats is not worth waking a second thread.
constexpr bool small_job(std::int64_t float_count) { return float_count < 8192; }

// What f32 and bf16 share: `s` counts words where a word is a pair of channels. The passes know all
// of a call but source or narrow_source, panels and padded, which are the caller's.
std::int64_t forward_panel_count(const GemmTile& tile, const Conv2dShape& s);
// All panels, of f32 filters, or widened ones of bf16.
template <class T>
void pack_forward_panels(ThreadPool& pool, const GemmTile& tile, const Conv2dShape& s, const T* w,
                         float* panels);
WindowPass forward_pass(const GemmTile& tile, const Conv2dShape& s, const Conv2dArgs& args,
                        bool narrow);

std::int64_t input_grad_panel_count(const GemmTile& tile, const Conv2dShape& s);
// The panels of one phase, for filters k in [begin, end).
template <class T>
void pack_input_grad_panels(const GemmTile& tile, const Conv2dShape& s, const Window& window,
                            const T* w, std::int64_t begin, std::int64_t end, float* panels);
// copy_stride, the largest of all phases.
std::int64_t input_grad_copy_stride(const Conv2dShape& s, bool narrow);
// Of every phase; the window is set by run_input_grad.
WindowPass input_grad_pass(const GemmTile& tile, const Conv2dShape& s, const Conv2dGradArgs& args,
                           bool narrow);

// One pass for each phase of the stride. pack(window, begin, end) fills the panels of a phase for
// filters k in [begin, end) of `s`.
template <class Pack>
void run_input_grad(ThreadPool& pool, const Conv2dShape& s, WindowPass pass, const Pack& pack) {
  const int pieces = small_job(s.weights().element_count()) ? 1 : pool.thread_count();
  for (std::int64_t phase = 0; phase < s.stride_h * s.stride_w; ++phase) {
    pass.window = input_grad_window(s, phase / s.stride_w, phase % s.stride_w);
    if (pass.window.tap_count() == 0 && pass.add) continue;
    pool.parallel_for(pieces, [&](std::int64_t piece) {
      pack(pass.window, piece * s.k / pieces, (piece + 1) * s.k / pieces);
    });
    run_window_pass(pool, pass);
  }
}

// Rounds up to whole cache lines, so that pieces of scratch stay aligned.
constexpr std::int64_t whole_lines(std::int64_t float_count) {
  return (float_count + 15) / 16 * 16;
}

}  // namespace kiln::cpu
