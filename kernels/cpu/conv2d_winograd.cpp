#include "kernels/cpu/conv2d_winograd.h"

#include "kernels/cpu/conv2d_winograd_layout.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/transpose.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

WinogradLayout::WinogradLayout(std::int64_t depth_, std::int64_t columns_, std::int64_t tile_count)
    : depth(depth_), columns(columns_), tiles(tile_count) {
  constexpr std::int64_t kFilterFloats = 640 * 1024;       // of filters that stay in a cache
  constexpr std::int64_t kOwnFloats = 256 * 1024;          // of a block of one thread
  constexpr std::int64_t kSharedFloats = 4 * 1024 * 1024;  // of a block of all
  depth_row = winograd_row(depth);
  column_row = winograd_row(columns);
  shared = kWinogradSlices * depth * columns > kFilterFloats;
  const std::int64_t of_tile = kWinogradSlices * (depth_row + column_row);
  const std::int64_t most =
      std::max<std::int64_t>((shared ? kSharedFloats : kOwnFloats) / of_tile, 16);
  blocks = (tiles + most - 1) / most;
  block_tiles = (tiles + blocks - 1) / blocks;
  depth_slice = winograd_slice(block_tiles * depth_row);
  column_slice = winograd_slice(block_tiles * column_row);
}

WinogradTiles winograd_tiles(std::int64_t h, std::int64_t w, std::int64_t channels,
                             std::int64_t first_h, std::int64_t first_w, std::int64_t covered_h,
                             std::int64_t covered_w) {
  return {.h = h,
          .w = w,
          .channels = channels,
          .first_h = first_h,
          .first_w = first_w,
          .tiles_h = (covered_h + kWinogradTile - 1) / kWinogradTile,
          .tiles_w = (covered_w + kWinogradTile - 1) / kWinogradTile};
}

namespace {

// Transformed filters of the columns [begin, begin + count): [36][column block][depth][width], with
// slice_step floats from one slice to the next.
struct WinogradFilters {
  float* slices;
  std::int64_t begin, count, slice_step;
};

// One convolution over tiles.
struct WinogradPass {
  WinogradPass(const WinogradTiles& source_, const WinogradTiles& out_, std::int64_t images)
      : source(source_),
        out(out_),
        layout(source.channels, out.channels, images * out.tiles_h * out.tiles_w) {}

  std::int64_t filter_slice(std::int64_t columns) const {
    return winograd_slice(gemm_tile().padded(columns) * layout.depth);
  }
  // Of `columns` columns.
  std::int64_t filter_count(std::int64_t columns) const {
    return kWinogradSlices * filter_slice(columns);
  }
  WinogradFilters all_filters(float* slices) const {
    return {slices, 0, layout.columns, filter_slice(layout.columns)};
  }
  std::int64_t scratch_count(int thread_count, Filters filters) const {
    const std::int64_t tensors = (layout.shared ? 1 : thread_count) * layout.block_count();
    if (filters == Filters::transformed) return tensors;
    return tensors + (layout.in_one_block()
                          ? panel_sets(layout.columns, thread_count) * filter_count(kWinogradPanel)
                          : filter_count(layout.columns));
  }

  WinogradTiles source, out;
  WinogradLayout layout;
};

WinogradPass winograd_forward_pass(const Conv2dShape& s) {
  return {winograd_tiles(s.h, s.w, s.c, -s.pad_h, -s.pad_w, s.p(), s.q()),
          winograd_tiles(s.p(), s.q(), s.k, 0, 0, s.p(), s.q()), s.n};
}

WinogradPass input_grad_pass(const Conv2dShape& s) {
  return {winograd_tiles(s.p(), s.q(), s.k, s.pad_h - 2, s.pad_w - 2, s.h, s.w),
          winograd_tiles(s.h, s.w, s.c, 0, 0, s.h, s.w), s.n};
}

// One slice's product of tiles [0, rows) with the filters of one block of columns, the first of
// which is number `column` of `filters`.
void multiply(const WinogradPass& pass, const WinogradFilters& filters, float* block,
              std::int64_t slice, std::int64_t column, const GemmColumns& columns,
              std::int64_t rows) {
  const WinogradLayout& l = pass.layout;
  const WinogradRows from = l.depth_rows(block), to = l.column_rows(block);
  GemmTileJob job;
  job.a_row = from.row_step;
  job.depth = l.depth;
  job.b = filters.slices + slice * filters.slice_step + column * l.depth;
  job.b_step = columns.width;
  job.c_row = to.row_step;
  for_each_row_block(rows, columns.max_rows, [&](std::int64_t first, std::int64_t count) {
    job.a = from.slices + slice * from.slice_step + first * from.row_step;
    job.c = to.slices + slice * to.slice_step + first * to.row_step + filters.begin + column;
    gemm_tile().run(job, columns, count);
  });
}

template <class T>
struct PassData {
  const T* source;
  WinogradFilters filters;
  T* out;
  WinogradFinish finish;
};

// All stages of tiles [begin, end) by one thread.
template <class T>
void run_block(const WinogradPass& pass, const PassData<T>& data, std::int64_t begin,
               std::int64_t end, float* block) {
  const WinogradLayout& l = pass.layout;
  KILN_CALL_ISA(winograd_input(pass.source, data.source, begin, end, l.depth_rows(block)));
  for (std::int64_t slice = 0; slice < kWinogradSlices; ++slice)
    gemm_tile().for_each_block(l.columns, [&](std::int64_t column, const GemmColumns& columns) {
      multiply(pass, data.filters, block, slice, column, columns, end - begin);
    });
  KILN_CALL_ISA(winograd_output(pass.out, l.column_rows(block), data.finish, begin, end, data.out));
}

// The products of tiles [0, rows) with all filters, divided among the threads.
void share_products(ThreadPool& pool, const WinogradPass& pass, const WinogradFilters& filters,
                    std::int64_t rows, float* block) {
  const std::int64_t width = gemm_tile().width[0], all = pass.layout.columns;
  const std::int64_t pieces = (all + width - 1) / width;
  pool.parallel_for(kWinogradSlices * pieces, [&](std::int64_t unit) {
    const std::int64_t piece = unit % pieces * width;
    gemm_tile().for_each_block(
        std::min(all - piece, width), [&](std::int64_t column, const GemmColumns& columns) {
          multiply(pass, filters, block, unit / pieces, piece + column, columns, rows);
        });
  });
}

// The same with panels of filters, which transform(filters) makes.
template <class Transform>
void share_panel_products(ThreadPool& pool, const WinogradPass& pass, const Transform& transform,
                          std::int64_t rows, float* block, float* sets) {
  share_panels(pool, pass.layout.columns, sets, pass.filter_count(kWinogradPanel),
               [&](std::int64_t begin, std::int64_t count, float* set) {
                 const WinogradFilters filters{set, begin, count, pass.filter_slice(count)};
                 transform(filters);
                 for (std::int64_t slice = 0; slice < kWinogradSlices; ++slice)
                   gemm_tile().for_each_block(
                       count, [&](std::int64_t column, const GemmColumns& columns) {
                         multiply(pass, filters, block, slice, column, columns, rows);
                       });
               });
}

// All stages of tiles [begin, end), each divided among the threads; `products` is the one between
// the transforms.
template <class T, class Products>
void share_block(ThreadPool& pool, const WinogradPass& pass, const PassData<T>& data,
                 std::int64_t begin, std::int64_t end, float* block, const Products& products) {
  const WinogradLayout& l = pass.layout;
  const WinogradRows inputs = l.depth_rows(block), outputs = l.column_rows(block);
  share_tiles(pool, end - begin, [&](std::int64_t first, std::int64_t last) {
    KILN_CALL_ISA(winograd_input(pass.source, data.source, begin + first, begin + last,
                                 from_row(inputs, first)));
  });
  products();
  share_tiles(pool, end - begin, [&](std::int64_t first, std::int64_t last) {
    KILN_CALL_ISA(winograd_output(pass.out, from_row(outputs, first), data.finish, begin + first,
                                  begin + last, data.out));
  });
}

// Blocks that threads take for themselves: those of the layout, and more and smaller ones where a
// thread would be left without. Neither y nor dx depends on them.
std::int64_t own_blocks(const WinogradLayout& l, std::int64_t threads) {
  constexpr std::int64_t kLeastTiles = 16;
  const std::int64_t even = (l.blocks + threads - 1) / threads * threads;
  return std::max(l.blocks, std::min(even, l.tiles / kLeastTiles));
}

// With filters that are transformed already.
template <class T>
void run_pass(ThreadPool& pool, const WinogradPass& pass, const PassData<T>& data, float* blocks) {
  const WinogradLayout& l = pass.layout;
  if (l.shared) {
    for (std::int64_t i = 0; i < l.blocks; ++i) {
      const std::int64_t begin = l.block_begin(i), end = l.block_begin(i + 1);
      share_block(pool, pass, data, begin, end, blocks,
                  [&] { share_products(pool, pass, data.filters, end - begin, blocks); });
    }
    return;
  }
  const std::int64_t pieces = own_blocks(l, pool.thread_count());
  pool.parallel_for_threads(pieces, [&](std::int64_t i, int thread) {
    run_block(pass, data, i * l.tiles / pieces, (i + 1) * l.tiles / pieces,
              blocks + thread * l.block_count());
  });
}

// transform(filters, pool) makes `filters`; pool: to divide the work, or null.
template <class T, class Transform>
void transform_and_run(ThreadPool& pool, const WinogradPass& pass, PassData<T> data,
                       const Transform& transform, float* scratch) {
  if (pass.layout.in_one_block()) {
    float* sets = scratch + pass.layout.block_count();
    share_block(pool, pass, data, 0, pass.layout.tiles, scratch, [&] {
      share_panel_products(
          pool, pass, [&](const WinogradFilters& filters) { transform(filters, nullptr); },
          pass.layout.tiles, scratch, sets);
    });
    return;
  }
  data.filters = pass.all_filters(scratch);
  transform(data.filters, &pool);
  run_pass(pool, pass, data, scratch + pass.filter_count(pass.layout.columns));
}

// body(0) to body(count - 1), by all threads of `pool` or, without one, by this thread.
template <class Body>
void for_each(ThreadPool* pool, std::int64_t count, const Body& body) {
  if (pool != nullptr) return pool->parallel_for(count, body);
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

constexpr std::int64_t kRun = 32;  // channels of a piece of filters on the way to their transform

// to[j][i] = w[i*step + j], i < rows, j < columns <= kRun; rows of `to` are to_step apart.
void turn(const float* w, std::int64_t step, std::int64_t rows, std::int64_t columns, float* to,
          std::int64_t to_step) {
  transpose(w, step, rows, columns, to, to_step);
}
// Unused in a build without bf16.
[[maybe_unused]] void turn(const BFloat16* w, std::int64_t step, std::int64_t rows,
                           std::int64_t columns, float* to, std::int64_t to_step) {
  constexpr std::int64_t kRows = 4;  // of a block of transpose()
  float wide[kRows * kRun];
  for (std::int64_t row = 0; row < rows; row += kRows) {
    const std::int64_t count = std::min(kRows, rows - row);
    for (std::int64_t i = 0; i < count; ++i)
      KILN_CALL_ISA(widen(w + (row + i) * step, wide + i * kRun, columns));
    transpose(wide, kRun, count, columns, to + row, to_step);
  }
}

// Channels [first, first + count) of w to [36][column block over K][C][width]; into panels tap by
// tap first, with zeros behind the last column.
template <class T>
void transform_run(const WinogradPass& pass, const T* w, std::int64_t first, std::int64_t count,
                   const WinogradFilters& filters) {
  const std::int64_t c = pass.layout.depth;
  float taps[9 * kRun * GemmTile::kMaxWidth];
  gemm_tile().for_each_block(filters.count, [&](std::int64_t column, const GemmColumns& columns) {
    const std::int64_t piece = count * columns.width;
    if (columns.columns < columns.width) std::fill_n(taps, 9 * piece, 0.0f);
    for (std::int64_t tap = 0; tap < 9; ++tap)
      turn(w + ((filters.begin + column) * 9 + tap) * c + first, 9 * c, columns.columns, count,
           taps + tap * piece, columns.width);
    KILN_CALL_ISA(winograd_filter<float>(taps, piece, piece,
                                         filters.slices + column * c + first * columns.width,
                                         filters.slice_step));
  });
}

template <class T>
void transform_filters(ThreadPool* pool, const WinogradPass& pass, const T* w,
                       const WinogradFilters& filters) {
  const std::int64_t c = pass.layout.depth;
  for_each(pool, (c + kRun - 1) / kRun, [&](std::int64_t run) {
    transform_run(pass, w, run * kRun, std::min(kRun, c - run * kRun), filters);
  });
}

// w to [36][column block over C][K][width], turned by half a turn.
template <class T>
void transform_turned_filters(ThreadPool* pool, const WinogradPass& pass, const T* w,
                              const WinogradFilters& filters) {
  const std::int64_t k = pass.layout.depth, c = pass.layout.columns;
  for_each(pool, k, [&](std::int64_t at) {
    gemm_tile().for_each_block(filters.count, [&](std::int64_t column, const GemmColumns& columns) {
      KILN_CALL_ISA(
          winograd_filter(w + (at * 9 + 8) * c + filters.begin + column, -c, columns.columns,
                          filters.slices + column * k + at * columns.width, filters.slice_step));
    });
  });
}

}  // namespace

std::size_t conv2d_winograd_scratch_bytes(const Conv2dShape& s, int thread_count, Filters filters) {
  const WinogradPass pass = winograd_forward_pass(s);
  return static_cast<std::size_t>(pass.scratch_count(thread_count, filters)) * sizeof(float);
}

std::size_t conv2d_dx_winograd_scratch_bytes(const Conv2dShape& s, int thread_count) {
  const WinogradPass pass = input_grad_pass(s);
  return static_cast<std::size_t>(pass.scratch_count(thread_count, Filters::plain)) * sizeof(float);
}

std::int64_t conv2d_winograd_packed_count(const Conv2dShape& s) {
  const WinogradPass pass = winograd_forward_pass(s);
  return pass.filter_count(pass.layout.columns);
}

void conv2d_winograd_pack(const Conv2dShape& s, const float* w, float* packed) {
  const WinogradPass pass = winograd_forward_pass(s);
  transform_filters(nullptr, pass, w, pass.all_filters(packed));
}

void conv2d_winograd(Context& context, const Conv2dArgs& a) {
  const WinogradPass pass = winograd_forward_pass(a.shape);
  float* scratch = reinterpret_cast<float*>(a.scratch);
  const bool vectorised = visit_vectorised(a.x.dtype(), [&]<class T>(T) {
    PassData<T> data{.source = a.x.data<T>(),
                     .filters = {},
                     .out = a.y.data<T>(),
                     .finish = {.start = a.bias.empty() ? nullptr : a.bias.data<float>(),
                                .add = false,
                                .relu = a.activation == Activation::relu}};
    if (a.packed.empty())
      return transform_and_run(
          context.pool(), pass, data,
          [&](const WinogradFilters& filters, ThreadPool* pool) {
            transform_filters(pool, pass, a.w.data<T>(), filters);
          },
          scratch);
    data.filters = pass.all_filters(a.packed.data<float>());
    run_pass(context.pool(), pass, data, scratch);
  });
  KILN_CHECK(vectorised);
}

void conv2d_dx_winograd(Context& context, const Conv2dGradArgs& a) {
  const WinogradPass pass = input_grad_pass(a.shape);
  const bool vectorised = visit_vectorised(a.dy.dtype(), [&]<class T>(T) {
    transform_and_run<T>(
        context.pool(), pass,
        {.source = a.dy.data<T>(),
         .filters = {},
         .out = a.dx.data<T>(),
         .finish = {.start = nullptr, .add = a.mode == GradWrite::accumulate, .relu = false}},
        [&](const WinogradFilters& filters, ThreadPool* pool) {
          transform_turned_filters(pool, pass, a.w.data<T>(), filters);
        },
        reinterpret_cast<float*>(a.scratch));
  });
  KILN_CHECK(vectorised);
}

}  // namespace kiln::cpu
