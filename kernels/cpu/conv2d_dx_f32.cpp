// The gradient of a convolution's input: one window pass over dy per phase of the stride, with the
// weights' two channel axes exchanged. Nothing is multiplied by an inserted zero.
#include <cstring>

#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {

// Words of all phases' panels: every tap of the window belongs to one phase.
std::int64_t input_grad_panel_count(const GemmTile& tile, const Conv2dShape& s) {
  const std::int64_t columns = tile.padded(s.c / s.groups);
  return whole_lines(s.groups * columns * s.r * s.s * (s.k / s.groups));
}

std::int64_t input_grad_copy_stride(const Conv2dShape& s, bool narrow) {
  std::int64_t most = 0;
  for (std::int64_t phase = 0; phase < s.stride_h * s.stride_w; ++phase) {
    const Window window = input_grad_window(s, phase / s.stride_w, phase % s.stride_w);
    if (window.h.outputs > 0 && window.w.outputs > 0)
      most = std::max(most, copy_stride(window, narrow));
  }
  return most;
}

WindowPass input_grad_pass(const GemmTile& tile, const Conv2dShape& s, const Conv2dGradArgs& a,
                           bool narrow) {
  return {.tile = &tile,
          .image_count = s.n,
          .group_count = s.groups,
          .depth = s.k / s.groups,
          .columns = s.c / s.groups,
          .out = a.dx.raw(),
          .out_height = s.h,
          .out_width = s.w,
          .out_channels = s.c,
          .add = a.mode == GradWrite::accumulate,
          .padded_stride = input_grad_copy_stride(s, narrow)};
}

namespace {

void copy_row(const float* from, float* to, std::int64_t count) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}
void copy_row(const BFloat16* from, float* to, std::int64_t count) {
  KILN_CALL_ISA(widen(from, to, count));
}

}  // namespace

// panel[(t_h, t_w, k)][c] = w[k][r(t_h)][s(t_w)][c] for the taps of one phase, k in [begin, end).
template <class T>
void pack_input_grad_panels(const GemmTile& tile, const Conv2dShape& s, const Window& window,
                            const T* w, std::int64_t begin, std::int64_t end, float* panels) {
  const std::int64_t group_k = s.k / s.groups, group_c = s.c / s.groups;
  const std::int64_t depth = window.tap_count() * group_k;
  for (std::int64_t k = begin; k < end; ++k) {
    const std::int64_t group = k / group_k;
    for (std::int64_t tap = 0; tap < window.tap_count(); ++tap) {
      const std::int64_t r = window.h.weight_first + tap / window.w.taps * window.h.weight_step;
      const std::int64_t u = window.w.weight_first + tap % window.w.taps * window.w.weight_step;
      const T* from = w + ((k * s.r + r) * s.s + u) * group_c;
      float* to = panels + group * depth * tile.padded(group_c);
      const std::int64_t at = tap * group_k + k % group_k;
      tile.for_each_block(group_c, [&](std::int64_t column, const GemmColumns& block) {
        copy_row(from + column, to + column * depth + at * block.width, block.columns);
      });
    }
  }
}
template void pack_input_grad_panels(const GemmTile&, const Conv2dShape&, const Window&,
                                     const float*, std::int64_t, std::int64_t, float*);
template void pack_input_grad_panels(const GemmTile&, const Conv2dShape&, const Window&,
                                     const BFloat16*, std::int64_t, std::int64_t, float*);

std::size_t conv2d_dx_f32_scratch_bytes(const Conv2dShape& s, int thread_count) {
  if (is_depthwise(s)) return depthwise_dx_scratch_bytes(s, thread_count);
  const std::int64_t count =
      input_grad_panel_count(gemm_tile(), s) + thread_count * input_grad_copy_stride(s, false);
  return static_cast<std::size_t>(count) * sizeof(float);
}

void conv2d_dx_f32(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return depthwise_dx_f32(context, a);
  const GemmTile& tile = gemm_tile();
  float* panels = reinterpret_cast<float*>(a.scratch);
  WindowPass pass = input_grad_pass(tile, s, a, false);
  pass.source = a.dy.data<float>();
  pass.panels = panels;
  pass.padded = panels + input_grad_panel_count(tile, s);
  run_input_grad(
      context.pool(), s, pass, [&](const Window& window, std::int64_t begin, std::int64_t end) {
        pack_input_grad_panels(tile, s, window, a.w.data<const float>(), begin, end, panels);
      });
}

}  // namespace kiln::cpu
