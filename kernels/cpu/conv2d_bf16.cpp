#include "kernels/cpu/conv2d_bf16.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/ranges.h"
#include "kernels/cpu/bf16_pairs.h"
#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/isa.h"

namespace kiln::cpu {
namespace {

constexpr std::int64_t pairs(std::int64_t count) { return (count + 1) / 2; }
constexpr bool odd(std::int64_t count) { return count % 2 != 0; }

// Over words of two channels of the input, or of the output.
Conv2dShape with_input_pairs(Conv2dShape s) {
  s.c = pairs(s.c);
  return s;
}
Conv2dShape with_output_pairs(Conv2dShape s) {
  s.k = pairs(s.k);
  return s;
}

const BFloat16* elements(const Tensor& t) { return t.data<BFloat16>(); }
const float* words(const Tensor& t) { return static_cast<const float*>(t.raw()); }

// Words of a copy whose rows of `channels` elements are filled up to whole words; 0 for none.
std::int64_t filled_count(std::int64_t rows, std::int64_t channels) {
  return odd(channels) ? whole_lines(rows * pairs(channels)) : 0;
}

// The rows as words: in place, or copied to `copy` where `channels` is odd.
const float* filled(ThreadPool& pool, const Tensor& t, std::int64_t channels, float* copy) {
  if (!odd(channels)) return words(t);
  const std::int64_t rows = t.element_count() / channels;
  const std::int64_t pieces = small_job(t.element_count()) ? 1 : pool.thread_count();
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    for (std::int64_t row = piece * rows / pieces; row < (piece + 1) * rows / pieces; ++row) {
      auto* to = reinterpret_cast<BFloat16*>(copy + row * pairs(channels));
      std::memcpy(to, elements(t) + row * channels,
                  static_cast<std::size_t>(channels) * sizeof(BFloat16));
      to[channels] = {};
    }
  });
  return copy;
}

std::int64_t forward_count(const Conv2dShape& s, int thread_count) {
  const Conv2dShape paired = with_input_pairs(s);
  return forward_panel_count(pair_tile_bf16(), paired) + filled_count(s.n * s.h * s.w, s.c) +
         filled_count(s.k * s.r * s.s, s.c) +
         thread_count * copy_stride(forward_window(paired), false);
}

std::int64_t dx_count(const Conv2dShape& s, int thread_count) {
  const Conv2dShape paired = with_output_pairs(s);
  return input_grad_panel_count(pair_tile_bf16(), paired) + filled_count(s.n * s.p() * s.q(), s.k) +
         thread_count * input_grad_copy_stride(paired, false);
}

// panel[(t_h, t_w, pair of k)][c] = w[k, k + 1][r(t_h)][s(t_w)][c] for the taps of one phase, pairs
// in [begin, end).
void pack_phase(const GemmTile& tile, const Conv2dShape& s, const Window& window, const BFloat16* w,
                std::int64_t begin, std::int64_t end, float* panels) {
  const std::int64_t group_k = s.k / s.groups, group_c = s.c / s.groups;
  const std::int64_t group_pairs = pairs(group_k), depth = window.tap_count() * group_pairs;
  const std::int64_t filter = s.r * s.s * group_c;
  for (std::int64_t pair = begin; pair < end; ++pair) {
    const std::int64_t group = pair / group_pairs, k = group * group_k + pair % group_pairs * 2;
    const bool alone = k + 1 == s.k && odd(group_k);
    for (std::int64_t tap = 0; tap < window.tap_count(); ++tap) {
      const std::int64_t r = window.h.weight_first + tap / window.w.taps * window.h.weight_step;
      const std::int64_t u = window.w.weight_first + tap % window.w.taps * window.w.weight_step;
      const BFloat16* from = w + k * filter + (r * s.s + u) * group_c;
      float* to = panels + group * depth * tile.padded(group_c);
      const std::int64_t at = tap * group_pairs + pair % group_pairs;
      tile.for_each_block(group_c, [&](std::int64_t column, const GemmColumns& block) {
        pair_up(from + column, alone ? nullptr : from + filter + column,
                to + column * depth + at * block.width, block.columns);
      });
    }
  }
}

// Scratch of the ways that widen piece by piece: panels, then a copy for each thread.
std::int64_t widening_forward_count(const Conv2dShape& s, int thread_count) {
  return forward_panel_count(gemm_tile_to_bf16(), s) +
         thread_count * copy_stride(forward_window(s), true);
}

std::int64_t widening_dx_count(const Conv2dShape& s, int thread_count) {
  return input_grad_panel_count(gemm_tile_to_bf16(), s) +
         thread_count * input_grad_copy_stride(s, true);
}

void conv2d_widening(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  const GemmTile& tile = gemm_tile_to_bf16();
  float* panels = reinterpret_cast<float*>(a.scratch);
  pack_forward_panels(context.pool(), tile, s, elements(a.w), panels);
  WindowPass pass = forward_pass(tile, s, a, true);
  pass.narrow_source = elements(a.x);
  pass.panels = panels;
  pass.padded = panels + forward_panel_count(tile, s);
  run_window_pass(context.pool(), pass);
}

void conv2d_dx_widening(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const GemmTile& tile = gemm_tile_to_bf16();
  float* panels = reinterpret_cast<float*>(a.scratch);
  WindowPass pass = input_grad_pass(tile, s, a, true);
  pass.narrow_source = elements(a.dy);
  pass.panels = panels;
  pass.padded = panels + input_grad_panel_count(tile, s);
  run_input_grad(context.pool(), s, pass,
                 [&](const Window& window, std::int64_t begin, std::int64_t end) {
                   pack_input_grad_panels(tile, s, window, elements(a.w), begin, end, panels);
                 });
}

}  // namespace

bool conv2d_takes_pairs(const Conv2dShape& s) {
  if (!has_bf16_dots() || is_depthwise(s)) return false;
  return s.groups == 1 || !(odd(s.c / s.groups) || odd(s.k / s.groups));
}

std::size_t conv2d_bf16_scratch_bytes(const Conv2dShape& s, int thread_count) {
  if (is_depthwise(s)) return conv2d_widened_scratch_bytes(s, thread_count);
  const std::int64_t count = conv2d_takes_pairs(s) ? forward_count(s, thread_count)
                                                   : widening_forward_count(s, thread_count);
  return static_cast<std::size_t>(count) * sizeof(float);
}

std::size_t conv2d_grad_bf16_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  if (is_depthwise(s)) return conv2d_grad_widened_scratch_bytes(s, thread_count, parts);
  const auto bytes = [](std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(float);
  };
  if (!conv2d_takes_pairs(s))
    return std::max(bytes(widening_dx_count(s, thread_count)),
                    conv2d_dw_widening_scratch_bytes(s, thread_count, parts));
  return std::max(bytes(dx_count(s, thread_count)),
                  conv2d_dw_pairs_scratch_bytes(s, thread_count, parts));
}

void conv2d_bf16(Context& context, const Conv2dArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return conv2d_widened(context, a);
  if (!conv2d_takes_pairs(s)) return conv2d_widening(context, a);
  ThreadPool& pool = context.pool();
  const GemmTile& tile = pair_tile_bf16();
  const Conv2dShape paired = with_input_pairs(s);
  float* panels = reinterpret_cast<float*>(a.scratch);
  float* free = panels + forward_panel_count(tile, paired);
  const float* x = filled(pool, a.x, s.c / s.groups, free);
  free += filled_count(s.n * s.h * s.w, s.c);
  const float* w = filled(pool, a.w, s.c / s.groups, free);
  free += filled_count(s.k * s.r * s.s, s.c);
  pack_forward_panels(pool, tile, paired, w, panels);
  WindowPass pass = forward_pass(tile, paired, a, false);
  pass.source = x;
  pass.panels = panels;
  pass.padded = free;
  run_window_pass(pool, pass);
}

void conv2d_dx_bf16(Context& context, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  if (is_depthwise(s)) return conv2d_dx_widened(context, a);
  if (!conv2d_takes_pairs(s)) return conv2d_dx_widening(context, a);
  ThreadPool& pool = context.pool();
  const GemmTile& tile = pair_tile_bf16();
  const Conv2dShape paired = with_output_pairs(s);
  float* panels = reinterpret_cast<float*>(a.scratch);
  float* free = panels + input_grad_panel_count(tile, paired);
  const float* dy = filled(pool, a.dy, s.k / s.groups, free);
  free += filled_count(s.n * s.p() * s.q(), s.k);
  WindowPass pass = input_grad_pass(tile, paired, a, false);
  pass.source = dy;
  pass.panels = panels;
  pass.padded = free;
  run_input_grad(pool, paired, pass,
                 [&](const Window& window, std::int64_t begin, std::int64_t end) {
                   pack_phase(tile, s, window, elements(a.w), begin, end, panels);
                 });
}

void conv2d_dw_bf16(Context& context, const Conv2dGradArgs& a, int parts) {
  if (is_depthwise(a.shape)) return conv2d_dw_widened(context, a);
  if (!conv2d_takes_pairs(a.shape)) return conv2d_dw_widening(context, a, parts);
  conv2d_dw_pairs(context, a, parts);
}

}  // namespace kiln::cpu
