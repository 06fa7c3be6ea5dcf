// The gradient of the weights by Winograd's algorithm: dw = G^T dU G, dU[36][K][C] a sum over tiles
// of products of (A dy A^T) and (B^T x B).
//
// Small dU: the batch's tiles are cut into parts, as conv2d_grad.h promises, each with a dU of its
// own; the inverse transform adds them in order. Large dU: where one block holds all tiles, a
// thread takes a few rows of dU after the other through products and inverse transform, out of its
// cache; else there is one dU, its slices are divided among the threads, and blocks of tiles are
// added one after the other.
#include "kernels/cpu/conv2d_winograd.h"
#include "kernels/cpu/conv2d_winograd_layout.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {
namespace {

struct WeightGrad {
  WeightGrad(const Conv2dShape& shape, int reduction_parts)
      : s(shape),
        x_tiles(winograd_tiles(s.h, s.w, s.c, -s.pad_h, -s.pad_w, s.p(), s.q())),
        dy_tiles(winograd_tiles(s.p(), s.q(), s.k, 0, 0, s.p(), s.q())),
        layout(s.c, s.k, s.n * dy_tiles.tiles_h * dy_tiles.tiles_w),
        bias_parts(reduction_parts),
        parts(layout.shared ? 1 : reduction_parts),
        row(whole_lines(s.c)),
        slice(winograd_slice((layout.in_one_block() ? std::min(kWinogradPanel, s.k) : s.k) * row)) {
  }

  std::int64_t sum_sets(int thread_count) const {
    return layout.in_one_block() ? panel_sets(s.k, thread_count) : parts;
  }
  std::int64_t part_step() const { return kWinogradSlices * slice; }
  std::int64_t block_sets(int thread_count) const { return layout.shared ? 1 : thread_count; }
  // Of a piece of dy for the sums of dbias: few enough for registers, which keeps rounding errors
  // small, and for a copy of bf16 widened that stays in the first level cache.
  static constexpr std::int64_t kPixels = 128;
  std::int64_t wide_count() const { return kPixels * whole_lines(s.k); }
  std::size_t scratch_bytes(int thread_count, DType dtype) const {
    const std::int64_t tensors = block_sets(thread_count) * layout.block_count();
    const std::int64_t wide = dtype == DType::f32 ? 0 : thread_count * wide_count();
    return static_cast<std::size_t>(sum_sets(thread_count) * part_step() +
                                    bias_parts * whole_lines(s.k) + std::max(tensors, wide)) *
           sizeof(float);
  }

  Conv2dShape s;
  WinogradTiles x_tiles, dy_tiles;
  WinogradLayout layout;
  int bias_parts, parts;    // of the batch
  std::int64_t row, slice;  // of dU, or of a panel of its rows
};

// The rows [begin, begin + count) of dU.
struct RowRange {
  std::int64_t begin, count;
};

// dU of one slice, some rows and one block of columns, over the `tiles` tiles of a block. `sums`
// begin with the first of these rows.
void multiply(const WeightGrad& g, float* block, std::int64_t slice, RowRange of,
              std::int64_t column, const GemmColumns& columns, std::int64_t tiles, bool add,
              float* sums) {
  const WinogradRows x = g.layout.depth_rows(block), dy = g.layout.column_rows(block);
  GemmTileJob job;
  job.a_row = 1;
  job.a_step = dy.row_step;
  job.b = x.slices + slice * x.slice_step + column;
  job.b_step = x.row_step;
  job.depth = tiles;
  job.c_row = g.row;
  job.add_to_c = add;
  for_each_row_block(of.count, columns.max_rows, [&](std::int64_t first, std::int64_t rows) {
    job.a = dy.slices + slice * dy.slice_step + of.begin + first;
    job.c = sums + slice * g.slice + first * g.row + column;
    gemm_tile().run(job, columns, rows);
  });
}

// Tiles [begin, end) of the batch into the rows from `first` on of a block.
template <class T>
void transform(const WeightGrad& g, const Conv2dGradArgs& a, std::int64_t begin, std::int64_t end,
               const WinogradRows& x, const WinogradRows& dy) {
  KILN_CALL_ISA(winograd_input(g.x_tiles, a.x.data<T>(), begin, end, x));
  KILN_CALL_ISA(winograd_output_grad(g.dy_tiles, a.dy.data<T>(), begin, end, dy));
}

// One part's tiles by one thread, in blocks.
template <class T>
void add_part(const WeightGrad& g, const Conv2dGradArgs& a, std::int64_t part, float* block,
              float* sums) {
  const std::int64_t of_image = g.dy_tiles.tiles_h * g.dy_tiles.tiles_w;
  const std::int64_t first = part * g.s.n / g.parts * of_image;
  const std::int64_t last = (part + 1) * g.s.n / g.parts * of_image;
  const std::int64_t blocks = (last - first + g.layout.block_tiles - 1) / g.layout.block_tiles;
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::int64_t begin = first + i * (last - first) / blocks;
    const std::int64_t end = first + (i + 1) * (last - first) / blocks;
    transform<T>(g, a, begin, end, g.layout.depth_rows(block), g.layout.column_rows(block));
    for (std::int64_t slice = 0; slice < kWinogradSlices; ++slice)
      gemm_tile().for_each_block(g.s.c, [&](std::int64_t column, const GemmColumns& columns) {
        multiply(g, block, slice, {0, g.s.k}, column, columns, end - begin, i > 0, sums);
      });
  }
}

// Tiles [begin, end) into a block, divided among the threads.
template <class T>
void share_transform(ThreadPool& pool, const WeightGrad& g, const Conv2dGradArgs& a,
                     std::int64_t begin, std::int64_t end, float* block) {
  const WinogradRows x = g.layout.depth_rows(block), dy = g.layout.column_rows(block);
  share_tiles(pool, end - begin, [&](std::int64_t first, std::int64_t last) {
    transform<T>(g, a, begin + first, begin + last, from_row(x, first), from_row(dy, first));
  });
}

// All tiles, every stage of a block divided among the threads.
template <class T>
void add_shared(ThreadPool& pool, const WeightGrad& g, const Conv2dGradArgs& a, float* block,
                float* sums) {
  const WinogradLayout& l = g.layout;
  const std::int64_t width = gemm_tile().width[0];
  const std::int64_t pieces = (g.s.c + width - 1) / width;
  for (std::int64_t i = 0; i < l.blocks; ++i) {
    const std::int64_t begin = l.block_begin(i), tiles = l.block_begin(i + 1) - begin;
    share_transform<T>(pool, g, a, begin, begin + tiles, block);
    pool.parallel_for(kWinogradSlices * pieces, [&](std::int64_t unit) {
      const std::int64_t piece = unit % pieces * width;
      gemm_tile().for_each_block(std::min(g.s.c - piece, width), [&](std::int64_t column,
                                                                     const GemmColumns& columns) {
        multiply(g, block, unit / pieces, {0, g.s.k}, piece + column, columns, tiles, i > 0, sums);
      });
    });
  }
}

// dw of some rows from `part_count` sums that begin with them.
void finish_rows(const WeightGrad& g, const Conv2dGradArgs& a, RowRange rows, int part_count,
                 const float* sums) {
  for (std::int64_t k = 0; k < rows.count; ++k)
    KILN_CALL_ISA(winograd_filter_grad(sums + k * g.row, g.slice, part_count, g.part_step(), g.s.c,
                                       a.accumulate_parameters,
                                       a.dw.data<float>() + (rows.begin + k) * 9 * g.s.c, g.s.c));
}

// dw by panels of rows.
template <class T>
void run_by_panels(ThreadPool& pool, const WeightGrad& g, const Conv2dGradArgs& a, float* block,
                   float* sets) {
  share_transform<T>(pool, g, a, 0, g.layout.tiles, block);
  share_panels(
      pool, g.s.k, sets, g.part_step(), [&](std::int64_t begin, std::int64_t count, float* sums) {
        const RowRange rows{begin, count};
        for (std::int64_t slice = 0; slice < kWinogradSlices; ++slice)
          gemm_tile().for_each_block(g.s.c, [&](std::int64_t column, const GemmColumns& columns) {
            multiply(g, block, slice, rows, column, columns, g.layout.tiles, false, sums);
          });
        finish_rows(g, a, rows, 1, sums);
      });
}

const float* floats_of(const float* values, std::int64_t, float*) { return values; }
// Unused in a build without bf16.
[[maybe_unused]] const float* floats_of(const BFloat16* values, std::int64_t count, float* wide) {
  KILN_CALL_ISA(widen(values, wide, count));
  return wide;
}

// sums[k] = sum of dy[pixel][k] over the pixels [first, last).
template <class T>
void sum_pixels(const T* dy, std::int64_t channels, std::int64_t first, std::int64_t last,
                float* wide, float* sums) {
  static constexpr float kOne = 1.0f;
  GemmTileJob job;
  job.a = &kOne;
  job.a_row = 1;
  job.a_step = 0;
  job.b_step = channels;
  for (std::int64_t at = first; at < last; at += WeightGrad::kPixels) {
    job.depth = std::min(WeightGrad::kPixels, last - at);
    job.add_to_c = at > first;
    const float* from = floats_of(dy + at * channels, job.depth * channels, wide);
    gemm_tile().for_each_block(channels, [&](std::int64_t column, const GemmColumns& columns) {
      job.b = from + column;
      job.c = sums + column;
      gemm_tile().run(job, columns, 1);
    });
  }
}

// Each part's sums over its pixels, added in the order of the parts.
template <class T>
void sum_bias(ThreadPool& pool, const WeightGrad& g, const Conv2dGradArgs& a, float* partials,
              float* wide) {
  const std::int64_t of_image = g.s.p() * g.s.q(), step = whole_lines(g.s.k);
  pool.parallel_for_threads(g.bias_parts, [&](std::int64_t part, int thread) {
    sum_pixels(a.dy.data<T>(), g.s.k, part * g.s.n / g.bias_parts * of_image,
               (part + 1) * g.s.n / g.bias_parts * of_image, wide + thread * g.wide_count(),
               partials + part * step);
  });
  float* dbias = a.dbias.data<float>();
  for (std::int64_t k = 0; k < g.s.k; ++k) {
    float sum = partials[k];
    for (int part = 1; part < g.bias_parts; ++part) sum += partials[part * step + k];
    dbias[k] = a.accumulate_parameters ? dbias[k] + sum : sum;
  }
}

// dw by way of the sums over all tiles.
template <class T>
void run_by_parts(ThreadPool& pool, const WeightGrad& g, const Conv2dGradArgs& a, float* blocks,
                  float* sums) {
  if (g.layout.shared)
    add_shared<T>(pool, g, a, blocks, sums);
  else
    pool.parallel_for_threads(g.parts, [&](std::int64_t part, int thread) {
      add_part<T>(g, a, part, blocks + thread * g.layout.block_count(),
                  sums + part * g.part_step());
    });
  pool.parallel_for(g.s.k, [&](std::int64_t k) {
    finish_rows(g, a, {k, 1}, g.parts, sums + k * g.row);
  });
}

// dw, then dbias, for which the blocks are free again.
template <class T>
void run(Context& context, const WeightGrad& g, const Conv2dGradArgs& a) {
  ThreadPool& pool = context.pool();
  float* sums = reinterpret_cast<float*>(a.scratch);
  float* bias_sums = sums + g.sum_sets(pool.thread_count()) * g.part_step();
  float* blocks = bias_sums + g.bias_parts * whole_lines(g.s.k);
  if (g.layout.in_one_block())
    run_by_panels<T>(pool, g, a, blocks, sums);
  else
    run_by_parts<T>(pool, g, a, blocks, sums);
  if (!a.dbias.empty()) sum_bias<T>(pool, g, a, bias_sums, blocks);
}

}  // namespace

std::size_t conv2d_dw_winograd_scratch_bytes(const Conv2dShape& s, DType dtype, int thread_count,
                                             int parts) {
  return WeightGrad(s, parts).scratch_bytes(thread_count, dtype);
}

void conv2d_dw_winograd(Context& context, const Conv2dGradArgs& a) {
  const WeightGrad g(a.shape, context.reduction_parts(a.shape.n));
  const bool vectorised =
      visit_vectorised(a.dy.dtype(), [&]<class T>(T) { run<T>(context, g, a); });
  KILN_CHECK(vectorised);
}

}  // namespace kiln::cpu
