// The gradient of a convolution's weights: for every block of taps (rows) and output channels
// (columns) a sum over pixels, read from the image and from dy in place.
//
// The batch is cut into parts; each part's sum is a private partial in the panel layout of
// gemm_tile.h, [group][column block][tap * Cg + c][width], followed by the part's bias sums. The
// partials are then added in the order of the parts. Within a part the sum over an image group's
// pixels is made in registers and added to the partial, which keeps rounding errors small.
#include <cstring>

#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/transpose.h"

namespace kiln::cpu {
namespace {

// Sizes that the scratch and the passes over it agree on.
struct GradLayout {
  explicit GradLayout(const Conv2dShape& shape)
      : s(shape), window(forward_window(shape)), group_k(s.k / s.groups), group_c(s.c / s.groups) {
    depth = s.r * s.s * group_c;
    panel_width = gemm_tile().padded(group_k);
    dw_count = s.groups * panel_width * depth;
    part_stride = whole_lines(dw_count + s.groups * panel_width);
    band_rows = window.band_rows();
    if (band_rows < s.p()) return;
    // Enough pixels under one visit of a block that loading and storing its sums costs little.
    constexpr std::int64_t kPixels = 512;
    const std::int64_t pixels = s.p() * s.q();
    const std::int64_t fit = 128 * 1024 / window.padded_count(s.p());
    images_at_once = std::clamp<std::int64_t>((kPixels + pixels - 1) / pixels, 1,
                                              std::max<std::int64_t>(1, fit));
  }
  std::int64_t padded_stride() const {
    return window.needs_copy() ? whole_lines(images_at_once * window.padded_count(band_rows)) : 0;
  }

  Conv2dShape s;
  Window window;
  std::int64_t group_k, group_c;
  std::int64_t depth = 0, panel_width = 0, dw_count = 0, part_stride = 0;
  std::int64_t band_rows = 1, images_at_once = 1;
};

// One visit: output rows [begin, end) of images [image, image + image_count).
struct Visit {
  WindowSource source;  // of the first image
  std::int64_t image_step = 0;
  std::int64_t image = 0, image_count = 1, begin = 0, end = 0;
};

// Adds a visit's share of one kernel row `r` of one column block to the partial.
void add_kernel_row(const GemmTile& tile, const GradLayout& l, const Visit& v, const float* dy,
                    std::int64_t group, std::int64_t column, const GemmColumns& block,
                    std::int64_t r, float* partial) {
  const Conv2dShape& s = l.s;
  const std::int64_t row = s.q() * s.k;
  const Range rows_inside = l.window.h.inner_outputs(r);
  const std::int64_t begin = std::max(v.begin, rows_inside.first);
  const std::int64_t end = std::min(v.end, rows_inside.last);
  if (begin >= end) return;
  const bool touching = s.groups == 1 && s.dilation_w == 1;
  GemmTileJob job;
  job.a_row = 1;
  job.a_step = s.stride_w * s.c;
  job.a_inner = s.stride_h * v.source.row_step;
  job.a_outer = v.image_step;
  job.b = dy + (v.image * s.p() + begin) * row + group * l.group_k + column;
  job.b_step = s.k;
  job.b_inner = row;
  job.b_outer = s.p() * row;
  job.outer_count = v.image_count;
  job.inner_count = end - begin;
  job.depth = s.q();
  job.c_row = block.width;
  job.add_to_c = true;
  float* panel = partial + group * l.panel_width * l.depth + column * l.depth;
  const std::int64_t runs = touching ? 1 : s.s;
  const std::int64_t run = touching ? s.s * s.c : l.group_c;
  for (std::int64_t u = 0; u < runs; ++u) {
    const std::int64_t first_row = l.window.h.low(begin) + r * s.dilation_h - v.source.first_row;
    const float* a =
        v.source.rows + first_row * v.source.row_step + u * s.dilation_w * s.c + group * l.group_c;
    float* c = panel + (r * s.s + u) * l.group_c * block.width;
    for_each_row_block(run, block.max_rows, [&](std::int64_t first, std::int64_t rows) {
      job.a = a + first;
      job.c = c + first * block.width;
      tile.run(job, block, rows);
    });
  }
}

// Adds a visit's column sums of dy to the partial's bias sums: a row of ones times dy.
void add_bias(const GemmTile& tile, const GradLayout& l, const Visit& v, const float* dy,
              float* partial) {
  static constexpr float kOne = 1.0f;
  const std::int64_t row = l.s.q() * l.s.k;
  tile.for_each_block(l.s.k, [&](std::int64_t column, const GemmColumns& block) {
    GemmTileJob job;
    job.a = &kOne;
    job.a_row = 1;
    job.a_step = 0;
    job.b = dy + (v.image * l.s.p() + v.begin) * row + column;
    job.b_step = l.s.k;
    job.b_inner = row;
    job.b_outer = l.s.p() * row;
    job.outer_count = v.image_count;
    job.inner_count = v.end - v.begin;
    job.depth = l.s.q();
    job.c = partial + l.dw_count + column;
    job.add_to_c = true;
    tile.run(job, block, 1);
  });
}

// Every (group, column block, kernel row) is one unit; a part's units are dealt to `split_count`
// pieces of work.
void add_visit(const GemmTile& tile, const GradLayout& l, const Visit& v, const float* dy,
               bool bias, std::int64_t split, std::int64_t split_count, float* partial) {
  std::int64_t unit = 0;
  for (std::int64_t group = 0; group < l.s.groups; ++group)
    tile.for_each_block(l.group_k, [&](std::int64_t column, const GemmColumns& block) {
      for (std::int64_t r = 0; r < l.s.r; ++r)
        if (unit++ % split_count == split)
          add_kernel_row(tile, l, v, dy, group, column, block, r, partial);
    });
  if (bias && split == 0) add_bias(tile, l, v, dy, partial);
}

// Images [begin, end) in visits; `padded` is the thread's own.
void add_images(const GemmTile& tile, const GradLayout& l, const Conv2dGradArgs& a,
                std::int64_t begin, std::int64_t end, std::int64_t split, std::int64_t split_count,
                float* padded, float* partial) {
  const Conv2dShape& s = l.s;
  const std::int64_t source_image = s.h * s.w * s.c;
  const float* x = a.x.data<float>();
  for (std::int64_t image = begin; image < end; image += l.images_at_once) {
    for (std::int64_t row = 0; row < s.p(); row += l.band_rows) {
      Visit v;
      v.image = image;
      v.image_count = std::min(l.images_at_once, end - image);
      v.begin = row;
      v.end = std::min(row + l.band_rows, s.p());
      v.image_step = l.window.needs_copy() ? l.window.padded_count(l.band_rows) : source_image;
      for (std::int64_t i = 0; i < v.image_count; ++i) {
        const WindowSource source = window_source(l.window, x + (image + i) * source_image, v.begin,
                                                  v.end, padded + i * v.image_step);
        if (i == 0) v.source = source;
      }
      add_visit(tile, l, v, a.dy.data<float>(), !a.dbias.empty(), split, split_count, partial);
    }
  }
}

// dw rows j in [begin, end) of one group's transpose: the sum of the partials, in order.
void reduce_dw(const GemmTile& tile, const GradLayout& l, const float* partials, int parts,
               bool accumulate, std::int64_t group, std::int64_t begin, std::int64_t end,
               float* dw) {
  constexpr std::int64_t kRun = 16;
  constexpr std::int64_t kMaxWidth = 64;
  float sums[kRun][kMaxWidth];
  tile.for_each_block(l.group_k, [&](std::int64_t column, const GemmColumns& block) {
    const float* panel = partials + group * l.panel_width * l.depth + column * l.depth;
    float* to = dw + (group * l.group_k + column) * l.depth;
    for (std::int64_t at = begin; at < end; at += kRun) {
      const std::int64_t stop = std::min(at + kRun, end);
      for (std::int64_t j = at; j < stop; ++j) {
        float* sum = sums[j - at];
        std::memcpy(sum, panel + j * block.width,
                    static_cast<std::size_t>(block.columns) * sizeof(float));
        for (int part = 1; part < parts; ++part) {
          const float* more = panel + part * l.part_stride + j * block.width;
          for (int lane = 0; lane < block.columns; ++lane) sum[lane] += more[lane];
        }
      }
      if (!accumulate) {
        transpose(sums[0], kMaxWidth, stop - at, block.columns, to + at, l.depth);
        continue;
      }
      for (int lane = 0; lane < block.columns; ++lane)
        for (std::int64_t j = at; j < stop; ++j) to[lane * l.depth + j] += sums[j - at][lane];
    }
  });
}

void reduce_bias(const GradLayout& l, const float* partials, int parts, bool accumulate,
                 float* dbias) {
  for (std::int64_t k = 0; k < l.s.k; ++k) {
    float sum = partials[l.dw_count + k];
    for (int part = 1; part < parts; ++part) sum += partials[part * l.part_stride + l.dw_count + k];
    dbias[k] = accumulate ? dbias[k] + sum : sum;
  }
}

}  // namespace

std::size_t conv2d_dw_f32_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  if (is_depthwise(s)) return depthwise_dw_scratch_bytes(s, thread_count, parts);
  const GradLayout l(s);
  return static_cast<std::size_t>(parts * l.part_stride + thread_count * l.padded_stride()) *
         sizeof(float);
}

void conv2d_dw_f32(Context& context, const Conv2dGradArgs& a) {
  if (is_depthwise(a.shape)) return depthwise_dw_f32(context, a);
  const GradLayout l(a.shape);
  const GemmTile& tile = gemm_tile();
  ThreadPool& pool = context.pool();
  const int parts = context.reduction_parts(l.s.n), threads = pool.thread_count();
  const std::int64_t splits = parts % threads == 0 ? 1 : threads;
  float* partials = reinterpret_cast<float*>(a.scratch);
  float* padded = partials + parts * l.part_stride;
  pool.parallel_for(parts, [&](std::int64_t part) {
    std::fill_n(partials + part * l.part_stride, l.part_stride, 0.0f);
  });
  pool.parallel_for_threads(parts * splits, [&](std::int64_t piece, int thread) {
    const std::int64_t part = piece / splits, split = piece % splits;
    add_images(tile, l, a, part * l.s.n / parts, (part + 1) * l.s.n / parts, split, splits,
               padded + thread * l.padded_stride(), partials + part * l.part_stride);
  });
  const int pieces = small_job(a.dw.element_count()) ? 1 : threads;
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    for (std::int64_t group = 0; group < l.s.groups; ++group)
      reduce_dw(tile, l, partials, parts, a.accumulate_parameters, group, piece * l.depth / pieces,
                (piece + 1) * l.depth / pieces, a.dw.data<float>());
  });
  if (!a.dbias.empty())
    reduce_bias(l, partials, parts, a.accumulate_parameters, a.dbias.data<float>());
}

}  // namespace kiln::cpu
