#include "kernels/cpu/conv2d_f32.h"

#include "kernels/cpu/conv2d_depthwise.h"

namespace kiln::cpu {
namespace {

std::int64_t panel_count(const Conv2dShape& s) {
  const std::int64_t columns = gemm_tile().padded(s.k / s.groups);
  return whole_lines(s.groups * columns * s.r * s.s * (s.c / s.groups));
}

std::int64_t padded_stride(const Window& window) {
  return window.needs_copy() ? whole_lines(window.padded_count(window.band_rows())) : 0;
}

}  // namespace

std::size_t conv2d_f32_scratch_bytes(const Conv2dShape& s, int thread_count) {
  if (is_depthwise(s)) return depthwise_scratch_bytes(s, thread_count);
  const std::int64_t count = panel_count(s) + thread_count * padded_stride(forward_window(s));
  return static_cast<std::size_t>(count) * sizeof(float);
}

void conv2d_f32(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return depthwise_f32(context, a);
  ThreadPool& pool = context.pool();
  const GemmTile& tile = gemm_tile();
  const std::int64_t group_k = s.k / s.groups, group_c = s.c / s.groups;
  const std::int64_t depth = s.r * s.s * group_c;
  float* panels = reinterpret_cast<float*>(a.scratch);
  const float* w = a.w.data<float>();
  const int pieces = small_job(s.k * depth) ? 1 : pool.thread_count();
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    for (std::int64_t group = 0; group < s.groups; ++group)
      pack_transposed(tile, w + group * group_k * depth, group_k, depth, piece * depth / pieces,
                      (piece + 1) * depth / pieces, panels + group * depth * tile.padded(group_k));
  });
  const Window window = forward_window(s);
  run_window_pass(pool, {.window = window,
                         .image_count = s.n,
                         .group_count = s.groups,
                         .depth = group_c,
                         .columns = group_k,
                         .source = a.x.data<float>(),
                         .out = a.y.data<float>(),
                         .out_height = s.p(),
                         .out_width = s.q(),
                         .out_channels = s.k,
                         .panels = panels,
                         .start = a.bias.empty() ? nullptr : a.bias.data<float>(),
                         .relu = a.activation == Activation::relu,
                         .padded = panels + panel_count(s),
                         .padded_stride = padded_stride(window)});
}

}  // namespace kiln::cpu
