#include "kernels/cpu/conv2d_f32.h"

#include "kernels/cpu/conv2d_depthwise.h"

namespace kiln::cpu {

std::int64_t forward_panel_count(const GemmTile& tile, const Conv2dShape& s) {
  const std::int64_t columns = tile.padded(s.k / s.groups);
  return whole_lines(s.groups * columns * s.r * s.s * (s.c / s.groups));
}

std::int64_t padded_stride(const Window& window) {
  return window.needs_copy() ? whole_lines(window.padded_count(window.band_rows())) : 0;
}

std::int64_t widened_stride(const Window& window) {
  if (window.tap_count() == 0) return 0;
  return whole_lines(window.padded_count(window.band_rows()));
}

template <class T>
void pack_forward_panels(const GemmTile& tile, const Conv2dShape& s, const T* w, std::int64_t piece,
                         std::int64_t pieces, float* panels) {
  const std::int64_t group_k = s.k / s.groups, depth = s.r * s.s * (s.c / s.groups);
  for (std::int64_t group = 0; group < s.groups; ++group)
    pack_transposed(tile, w + group * group_k * depth, group_k, depth, piece * depth / pieces,
                    (piece + 1) * depth / pieces, panels + group * depth * tile.padded(group_k));
}

template void pack_forward_panels(const GemmTile&, const Conv2dShape&, const float*, std::int64_t,
                                  std::int64_t, float*);
template void pack_forward_panels(const GemmTile&, const Conv2dShape&, const BFloat16*,
                                  std::int64_t, std::int64_t, float*);

WindowPass forward_pass(const Conv2dShape& s) {
  const Window window = forward_window(s);
  return {.window = window,
          .image_count = s.n,
          .group_count = s.groups,
          .depth = s.c / s.groups,
          .columns = s.k / s.groups,
          .out_height = s.p(),
          .out_width = s.q(),
          .out_channels = s.k,
          .padded_stride = padded_stride(window)};
}

namespace {

std::int64_t panel_count(const Conv2dShape& s) { return forward_panel_count(gemm_tile(), s); }

}  // namespace

std::size_t conv2d_f32_scratch_bytes(const Conv2dShape& s, int thread_count, Filters filters) {
  const std::int64_t packed = filters == Filters::plain ? conv2d_f32_packed_count(s) : 0;
  const std::int64_t copies = is_depthwise(s) ? depthwise_scratch_count(s, thread_count)
                                              : thread_count * padded_stride(forward_window(s));
  return static_cast<std::size_t>(packed + copies) * sizeof(float);
}

std::int64_t conv2d_f32_packed_count(const Conv2dShape& s) {
  return is_depthwise(s) ? depthwise_packed_count(s) : panel_count(s);
}

void conv2d_f32_pack(const Conv2dShape& s, const float* w, float* packed) {
  if (is_depthwise(s)) return depthwise_pack(s, w, packed);
  pack_forward_panels(gemm_tile(), s, w, 0, 1, packed);
}

void conv2d_f32(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return depthwise_f32(context, a);
  ThreadPool& pool = context.pool();
  float* scratch = reinterpret_cast<float*>(a.scratch);
  const float* panels = a.packed.empty() ? scratch : a.packed.data<float>();
  if (a.packed.empty()) {
    const float* w = a.w.data<float>();
    const int pieces = small_job(s.weights().element_count()) ? 1 : pool.thread_count();
    pool.parallel_for(pieces, [&](std::int64_t piece) {
      pack_forward_panels(gemm_tile(), s, w, piece, pieces, scratch);
    });
  }
  WindowPass pass = forward_pass(s);
  pass.source = a.x.data<float>();
  pass.out = a.y.raw();
  pass.panels = panels;
  pass.start = a.bias.empty() ? nullptr : a.bias.data<float>();
  pass.relu = a.activation == Activation::relu;
  pass.padded = a.packed.empty() ? scratch + panel_count(s) : scratch;
  run_window_pass(pool, pass);
}

}  // namespace kiln::cpu
