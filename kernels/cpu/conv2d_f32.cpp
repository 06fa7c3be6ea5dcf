#include "kernels/cpu/conv2d_f32.h"

#include "kernels/cpu/conv2d_depthwise.h"

namespace kiln::cpu {

std::int64_t forward_panel_count(const GemmTile& tile, const Conv2dShape& s) {
  const std::int64_t columns = tile.padded(s.k / s.groups);
  return whole_lines(s.groups * columns * s.r * s.s * (s.c / s.groups));
}

std::int64_t copy_stride(const Window& window, bool narrow) {
  const bool copies = narrow ? window.tap_count() > 0 : window.needs_copy();
  return copies ? whole_lines(window.images_at_once() * window.padded_count(window.band_rows()))
                : 0;
}

namespace {

// Piece `piece` of `pieces` along the depth of every panel.
template <class T>
void pack_piece(const GemmTile& tile, const Conv2dShape& s, const T* w, std::int64_t piece,
                std::int64_t pieces, float* panels) {
  const std::int64_t group_k = s.k / s.groups, depth = s.r * s.s * (s.c / s.groups);
  for (std::int64_t group = 0; group < s.groups; ++group)
    pack_transposed(tile, w + group * group_k * depth, group_k, depth, piece * depth / pieces,
                    (piece + 1) * depth / pieces, panels + group * depth * tile.padded(group_k));
}

}  // namespace

template <class T>
void pack_forward_panels(ThreadPool& pool, const GemmTile& tile, const Conv2dShape& s, const T* w,
                         float* panels) {
  const int pieces = small_job(s.weights().element_count()) ? 1 : pool.thread_count();
  pool.parallel_for(pieces,
                    [&](std::int64_t piece) { pack_piece(tile, s, w, piece, pieces, panels); });
}

template void pack_forward_panels(ThreadPool&, const GemmTile&, const Conv2dShape&, const float*,
                                  float*);
template void pack_forward_panels(ThreadPool&, const GemmTile&, const Conv2dShape&, const BFloat16*,
                                  float*);

WindowPass forward_pass(const GemmTile& tile, const Conv2dShape& s, const Conv2dArgs& a,
                        bool narrow) {
  const Window window = forward_window(s);
  return {.tile = &tile,
          .window = window,
          .image_count = s.n,
          .group_count = s.groups,
          .depth = s.c / s.groups,
          .columns = s.k / s.groups,
          .out = a.y.raw(),
          .out_height = s.p(),
          .out_width = s.q(),
          .out_channels = s.k,
          .start = a.bias.empty() ? nullptr : a.bias.data<float>(),
          .relu = a.activation == Activation::relu,
          .padded_stride = copy_stride(window, narrow)};
}

namespace {

std::int64_t panel_count(const Conv2dShape& s) { return forward_panel_count(gemm_tile(), s); }

}  // namespace

std::size_t conv2d_f32_scratch_bytes(const Conv2dShape& s, int thread_count, Filters filters) {
  const std::int64_t packed = filters == Filters::plain ? conv2d_f32_packed_count(s) : 0;
  const std::int64_t copies = is_depthwise(s)
                                  ? depthwise_scratch_count(s, thread_count)
                                  : thread_count * copy_stride(forward_window(s), false);
  return static_cast<std::size_t>(packed + copies) * sizeof(float);
}

std::int64_t conv2d_f32_packed_count(const Conv2dShape& s) {
  return is_depthwise(s) ? depthwise_packed_count(s) : panel_count(s);
}

void conv2d_f32_pack(const Conv2dShape& s, const float* w, float* packed) {
  if (is_depthwise(s)) return depthwise_pack(s, w, packed);
  pack_piece(gemm_tile(), s, w, 0, 1, packed);
}

void conv2d_f32(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return depthwise_f32(context, a);
  ThreadPool& pool = context.pool();
  float* scratch = reinterpret_cast<float*>(a.scratch);
  WindowPass pass = forward_pass(gemm_tile(), s, a, false);
  pass.source = a.x.data<float>();
  pass.panels = a.packed.empty() ? scratch : a.packed.data<float>();
  pass.padded = a.packed.empty() ? scratch + panel_count(s) : scratch;
  if (a.packed.empty()) pack_forward_panels(pool, gemm_tile(), s, a.w.data<float>(), scratch);
  run_window_pass(pool, pass);
}

}  // namespace kiln::cpu
