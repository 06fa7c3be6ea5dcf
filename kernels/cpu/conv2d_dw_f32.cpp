// The gradient of a convolution's weights: for every block of taps (rows) and output channels
// (columns) a sum over pixels, read from the image and from dy in place.
//
// The batch is cut into parts; each part's sum is a private partial in the panel layout of
// gemm_tile.h, [group][column block][tap * Cg + c][width], followed by the part's bias sums. The
// partials are then added in the order of the parts. Within a part the sum over an image group's
// pixels is made in registers and added to the partial, which keeps rounding errors small.
//
// With bf16 the sum runs over pairs of images: a word holds an element of two neighbouring images
// (zeros beside the last one of an odd number), so every window, stride and border is that of one
// image. The pairs are made while a visit is copied to the thread's scratch. All sums are f32.
#include <cstring>
#include <numeric>

#include "kernels/cpu/bf16_pairs.h"
#include "kernels/cpu/conv2d_bf16.h"
#include "kernels/cpu/conv2d_depthwise.h"
#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/transpose.h"

namespace kiln::cpu {
namespace {

// Sizes that the scratch and the passes over it agree on.
struct GradLayout {
  // `shape`: of images of words.
  GradLayout(const Conv2dShape& shape, const GemmTile& kernels)
      : s(shape),
        tile(kernels),
        window(forward_window(shape)),
        group_k(s.k / s.groups),
        group_c(s.c / s.groups) {
    depth = s.r * s.s * group_c;
    panel_width = tile.padded(group_k);
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
  // Words of the copy of a visit's x, and of its dy.
  std::int64_t copied_x() const {
    return whole_lines(images_at_once * window.padded_count(band_rows));
  }
  std::int64_t copied_dy() const { return whole_lines(images_at_once * band_rows * s.q() * s.k); }

  Conv2dShape s;
  const GemmTile& tile;
  Window window;
  std::int64_t group_k, group_c;
  std::int64_t depth = 0, panel_width = 0, dw_count = 0, part_stride = 0;
  std::int64_t band_rows = 1, images_at_once = 1;
};

// One visit: output rows [begin, end) of images [image, image + image_count).
struct Visit {
  WindowSource source;  // of the first image
  std::int64_t image_step = 0;
  const float* dy = nullptr;  // row `begin` of the first image
  std::int64_t dy_step = 0;   // from image to image
  std::int64_t image = 0, image_count = 1, begin = 0, end = 0;
};

// f32 images, read in place where the window is inside them.
struct Floats {
  const float *x, *dy;
  std::int64_t scratch_count(const GradLayout& l) const {
    return l.window.needs_copy() ? l.copied_x() : 0;
  }
  const float* one() const {
    static constexpr float kOne = 1.0f;
    return &kOne;
  }
  // Sets what a visit reads.
  void load(const GradLayout& l, Visit& v, float* scratch) const {
    const Conv2dShape& s = l.s;
    const std::int64_t source_image = s.h * s.w * s.c, row = s.q() * s.k;
    v.image_step = l.window.needs_copy() ? l.window.padded_count(l.band_rows) : source_image;
    for (std::int64_t i = 0; i < v.image_count; ++i) {
      const WindowSource source = window_source(l.window, x + (v.image + i) * source_image, v.begin,
                                                v.end, scratch + i * v.image_step);
      if (i == 0) v.source = source;
    }
    v.dy_step = s.p() * row;
    v.dy = dy + v.image * v.dy_step + v.begin * row;
  }
};

// bf16 images, widened into copies.
struct WidenedImages {
  const BFloat16 *x, *dy;
  std::int64_t scratch_count(const GradLayout& l) const { return l.copied_x() + l.copied_dy(); }
  const float* one() const { return Floats{}.one(); }
  void load(const GradLayout& l, Visit& v, float* scratch) const {
    const Conv2dShape& s = l.s;
    const std::int64_t source_image = s.h * s.w * s.c, row = s.q() * s.k;
    v.image_step = l.window.padded_count(l.band_rows);
    v.dy_step = (v.end - v.begin) * row;
    float* copied_dy = scratch + l.copied_x();
    for (std::int64_t i = 0; i < v.image_count; ++i) {
      const std::int64_t image = v.image + i;
      const WindowSource source = widened_window_source(l.window, x + image * source_image, v.begin,
                                                        v.end, scratch + i * v.image_step);
      if (i == 0) v.source = source;
      KILN_CALL_ISA(
          widen(dy + (image * s.p() + v.begin) * row, copied_dy + i * v.dy_step, v.dy_step));
    }
    v.dy = copied_dy;
  }
};

// Words of two bf16 images; image_count counts the bf16 ones.
struct ImagePairs {
  const BFloat16 *x, *dy;
  std::int64_t image_count;
  std::int64_t scratch_count(const GradLayout& l) const { return l.copied_x() + l.copied_dy(); }
  const float* one() const {
    static constexpr BFloat16 kOnes[2] = {{0x3f80}, {0x3f80}};
    return reinterpret_cast<const float*>(kOnes);
  }
  void load(const GradLayout& l, Visit& v, float* scratch) const {
    const Conv2dShape& s = l.s;
    const std::int64_t source_image = s.h * s.w * s.c, row = s.q() * s.k;
    v.image_step = l.window.padded_count(l.band_rows);
    v.dy_step = (v.end - v.begin) * row;
    float* copied_dy = scratch + l.copied_x();
    for (std::int64_t i = 0; i < v.image_count; ++i) {
      const std::int64_t first = 2 * (v.image + i);
      const bool alone = first + 1 == image_count;
      const BFloat16* from = x + first * source_image;
      const WindowSource source =
          paired_window_source(l.window, from, alone ? nullptr : from + source_image, v.begin,
                               v.end, scratch + i * v.image_step);
      if (i == 0) v.source = source;
      const BFloat16* rows = dy + (first * s.p() + v.begin) * row;
      pair_up(rows, alone ? nullptr : rows + s.p() * row, copied_dy + i * v.dy_step, v.dy_step);
    }
    v.dy = copied_dy;
  }
};

// Adds a visit's share of one kernel row `r` of one column block to the partial.
void add_kernel_row(const GradLayout& l, const Visit& v, std::int64_t group, std::int64_t column,
                    const GemmColumns& block, std::int64_t r, float* partial) {
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
  job.b = v.dy + (begin - v.begin) * row + group * l.group_k + column;
  job.b_step = s.k;
  job.b_inner = row;
  job.b_outer = v.dy_step;
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
      l.tile.run(job, block, rows);
    });
  }
}

// Adds a visit's column sums of dy to the partial's bias sums: a row of ones times dy.
void add_bias(const GradLayout& l, const Visit& v, const float* one, float* partial) {
  const std::int64_t row = l.s.q() * l.s.k;
  l.tile.for_each_block(l.s.k, [&](std::int64_t column, const GemmColumns& block) {
    GemmTileJob job;
    job.a = one;
    job.a_row = 1;
    job.a_step = 0;
    job.b = v.dy + column;
    job.b_step = l.s.k;
    job.b_inner = row;
    job.b_outer = v.dy_step;
    job.outer_count = v.image_count;
    job.inner_count = v.end - v.begin;
    job.depth = l.s.q();
    job.c = partial + l.dw_count + column;
    job.add_to_c = true;
    l.tile.run(job, block, 1);
  });
}

// Every (group, column block, kernel row) is one unit; a part's units are dealt to `split_count`
// pieces of work, each of which loads the visit anew.
void add_visit(const GradLayout& l, const Visit& v, std::int64_t split, std::int64_t split_count,
               float* partial) {
  std::int64_t unit = 0;
  for (std::int64_t group = 0; group < l.s.groups; ++group)
    l.tile.for_each_block(l.group_k, [&](std::int64_t column, const GemmColumns& block) {
      for (std::int64_t r = 0; r < l.s.r; ++r)
        if (unit++ % split_count == split) add_kernel_row(l, v, group, column, block, r, partial);
    });
}

// Pieces of work to a part: enough that no thread is left idle, no more than it has units. Which
// piece sums a unit changes no bit.
std::int64_t splits_of_part(const GradLayout& l, std::int64_t parts, std::int64_t threads) {
  std::int64_t units = 0;
  l.tile.for_each_block(l.group_k,
                        [&](std::int64_t, const GemmColumns&) { units += l.s.groups * l.s.r; });
  return std::min(threads / std::gcd(parts, threads), units);
}

// Images [begin, end) in visits; `scratch` is the thread's own.
template <class Images>
void add_images(const GradLayout& l, const Images& images, bool bias, Range range,
                std::int64_t split, std::int64_t split_count, float* scratch, float* partial) {
  const std::int64_t rows = l.s.p();
  for (std::int64_t image = range.first; image < range.last; image += l.images_at_once) {
    for (std::int64_t row = 0; row < rows; row += l.band_rows) {
      Visit v;
      v.image = image;
      v.image_count = std::min(l.images_at_once, range.last - image);
      v.begin = row;
      v.end = std::min(row + l.band_rows, rows);
      images.load(l, v, scratch);
      add_visit(l, v, split, split_count, partial);
      if (bias && split == 0) add_bias(l, v, images.one(), partial);
    }
  }
}

// dw rows j in [begin, end) of one group's transpose: the sum of the partials, in order.
void reduce_dw(const GradLayout& l, const float* partials, int parts, bool accumulate,
               std::int64_t group, std::int64_t begin, std::int64_t end, float* dw) {
  constexpr std::int64_t kRun = 16;
  constexpr std::int64_t kMaxWidth = GemmTile::kMaxWidth;
  float sums[kRun][kMaxWidth];
  l.tile.for_each_block(l.group_k, [&](std::int64_t column, const GemmColumns& block) {
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

template <class Images>
std::size_t scratch_bytes(const GradLayout& l, const Images& images, int thread_count, int parts) {
  return static_cast<std::size_t>(parts * l.part_stride + thread_count * images.scratch_count(l)) *
         sizeof(float);
}

template <class Images>
void run(ThreadPool& pool, const GradLayout& l, const Images& images, const Conv2dGradArgs& a,
         int parts) {
  const int threads = pool.thread_count();
  const std::int64_t splits = splits_of_part(l, parts, threads);
  float* partials = reinterpret_cast<float*>(a.scratch);
  float* copies = partials + parts * l.part_stride;
  pool.parallel_for(parts, [&](std::int64_t part) {
    std::fill_n(partials + part * l.part_stride, l.part_stride, 0.0f);
  });
  pool.parallel_for_threads(parts * splits, [&](std::int64_t piece, int thread) {
    const std::int64_t part = piece / splits, split = piece % splits;
    add_images(l, images, !a.dbias.empty(), {part * l.s.n / parts, (part + 1) * l.s.n / parts},
               split, splits, copies + thread * images.scratch_count(l),
               partials + part * l.part_stride);
  });
  const int pieces = small_job(a.dw.element_count()) ? 1 : threads;
  pool.parallel_for(pieces, [&](std::int64_t piece) {
    for (std::int64_t group = 0; group < l.s.groups; ++group)
      reduce_dw(l, partials, parts, a.accumulate_parameters, group, piece * l.depth / pieces,
                (piece + 1) * l.depth / pieces, a.dw.data<float>());
  });
  if (!a.dbias.empty())
    reduce_bias(l, partials, parts, a.accumulate_parameters, a.dbias.data<float>());
}

Conv2dShape of_pairs(Conv2dShape s) {
  s.n = (s.n + 1) / 2;
  return s;
}

}  // namespace

std::size_t conv2d_dw_f32_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  if (is_depthwise(s)) return depthwise_dw_scratch_bytes(s, thread_count, parts);
  return scratch_bytes(GradLayout(s, gemm_tile()), Floats{}, thread_count, parts);
}

void conv2d_dw_f32(Context& context, const Conv2dGradArgs& a) {
  if (is_depthwise(a.shape)) return depthwise_dw_f32(context, a);
  run(context.pool(), GradLayout(a.shape, gemm_tile()),
      Floats{a.x.data<float>(), a.dy.data<float>()}, a, context.reduction_parts(a.shape.n));
}

std::size_t conv2d_dw_widening_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  return scratch_bytes(GradLayout(s, gemm_tile()), WidenedImages{}, thread_count, parts);
}

void conv2d_dw_widening(Context& context, const Conv2dGradArgs& a, int parts) {
  run(context.pool(), GradLayout(a.shape, gemm_tile()),
      WidenedImages{a.x.data<BFloat16>(), a.dy.data<BFloat16>()}, a, parts);
}

std::size_t conv2d_dw_pairs_scratch_bytes(const Conv2dShape& s, int thread_count, int parts) {
  const GradLayout l(of_pairs(s), pair_tile_f32());
  return scratch_bytes(l, ImagePairs{}, thread_count,
                       static_cast<int>(std::min<std::int64_t>(parts, l.s.n)));
}

void conv2d_dw_pairs(Context& context, const Conv2dGradArgs& a, int parts) {
  const GradLayout l(of_pairs(a.shape), pair_tile_f32());
  run(context.pool(), l, ImagePairs{a.x.data<BFloat16>(), a.dy.data<BFloat16>(), a.shape.n}, a,
      static_cast<int>(std::min<std::int64_t>(parts, l.s.n)));
}

}  // namespace kiln::cpu
