#include "kernels/cpu/conv2d_winograd.h"

#include "kernels/cpu/conv2d_winograd_layout.h"
#include "kernels/cpu/transpose.h"

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

// A convolution with filters that are transformed already.
struct WinogradPass {
  WinogradPass(const WinogradTiles& source_, const WinogradTiles& out_, std::int64_t images)
      : source(source_),
        out(out_),
        layout(source.channels, out.channels, images * out.tiles_h * out.tiles_w),
        filter_slice(winograd_slice(gemm_tile().padded(layout.columns) * layout.depth)) {}

  std::int64_t filter_count() const { return kWinogradSlices * filter_slice; }
  std::size_t scratch_bytes(int thread_count) const {
    const std::int64_t tensors = (layout.shared ? 1 : thread_count) * layout.block_count();
    const std::int64_t taps = thread_count * taps_count();
    return static_cast<std::size_t>(filter_count() + std::max(tensors, taps)) * sizeof(float);
  }
  // Of a piece of filters on the way to their transform, a run of the depth by a block of columns.
  static constexpr std::int64_t kRun = 32;
  static std::int64_t taps_count() { return 9 * kRun * gemm_tile().width[0]; }

  WinogradTiles source, out;
  WinogradLayout layout;
  std::int64_t filter_slice;  // of [column block][depth][width], from one slice to the next
};

WinogradPass winograd_forward_pass(const Conv2dShape& s) {
  return {winograd_tiles(s.h, s.w, s.c, -s.pad_h, -s.pad_w, s.p(), s.q()),
          winograd_tiles(s.p(), s.q(), s.k, 0, 0, s.p(), s.q()), s.n};
}

WinogradPass input_grad_pass(const Conv2dShape& s) {
  return {winograd_tiles(s.p(), s.q(), s.k, s.pad_h - 2, s.pad_w - 2, s.h, s.w),
          winograd_tiles(s.h, s.w, s.c, 0, 0, s.h, s.w), s.n};
}

// The 36 products of tiles [0, rows) with the filters of one block of columns.
void multiply(const WinogradPass& pass, const float* filters, float* block, std::int64_t slice,
              std::int64_t column, const GemmColumns& columns, std::int64_t rows) {
  const WinogradLayout& l = pass.layout;
  const WinogradRows from = l.depth_rows(block), to = l.column_rows(block);
  GemmTileJob job;
  job.a_row = from.row_step;
  job.depth = l.depth;
  job.b = filters + slice * pass.filter_slice + column * l.depth;
  job.b_step = columns.width;
  job.c_row = to.row_step;
  for_each_row_block(rows, columns.max_rows, [&](std::int64_t first, std::int64_t count) {
    job.a = from.slices + slice * from.slice_step + first * from.row_step;
    job.c = to.slices + slice * to.slice_step + first * to.row_step + column;
    gemm_tile().run(job, columns, count);
  });
}

struct PassData {
  const float* source;
  const float* filters;
  float* out;
  WinogradFinish finish;
};

// All stages of tiles [begin, end) by one thread.
void run_block(const WinogradPass& pass, const PassData& data, std::int64_t begin, std::int64_t end,
               float* block) {
  const WinogradLayout& l = pass.layout;
  KILN_CALL_ISA(winograd_input_f32(pass.source, data.source, begin, end, l.depth_rows(block)));
  for (std::int64_t slice = 0; slice < kWinogradSlices; ++slice)
    gemm_tile().for_each_block(l.columns, [&](std::int64_t column, const GemmColumns& columns) {
      multiply(pass, data.filters, block, slice, column, columns, end - begin);
    });
  KILN_CALL_ISA(
      winograd_output_f32(pass.out, l.column_rows(block), data.finish, begin, end, data.out));
}

// The same, every stage divided among the threads.
void share_block(ThreadPool& pool, const WinogradPass& pass, const PassData& data,
                 std::int64_t begin, std::int64_t end, float* block) {
  const WinogradLayout& l = pass.layout;
  const WinogradRows inputs = l.depth_rows(block), outputs = l.column_rows(block);
  share_tiles(pool, end - begin, [&](std::int64_t first, std::int64_t last) {
    KILN_CALL_ISA(winograd_input_f32(pass.source, data.source, begin + first, begin + last,
                                     from_row(inputs, first)));
  });
  const std::int64_t width = gemm_tile().width[0];
  const std::int64_t pieces = (l.columns + width - 1) / width;
  pool.parallel_for(kWinogradSlices * pieces, [&](std::int64_t unit) {
    const std::int64_t piece = unit % pieces * width;
    const std::int64_t of_piece = std::min(l.columns - piece, width);
    gemm_tile().for_each_block(of_piece, [&](std::int64_t column, const GemmColumns& columns) {
      multiply(pass, data.filters, block, unit / pieces, piece + column, columns, end - begin);
    });
  });
  share_tiles(pool, end - begin, [&](std::int64_t first, std::int64_t last) {
    KILN_CALL_ISA(winograd_output_f32(pass.out, from_row(outputs, first), data.finish,
                                      begin + first, begin + last, data.out));
  });
}

// Blocks that threads take for themselves: those of the layout, and more and smaller ones where a
// thread would be left without. Neither y nor dx depends on them.
std::int64_t own_blocks(const WinogradLayout& l, std::int64_t threads) {
  constexpr std::int64_t kLeastTiles = 16;
  const std::int64_t even = (l.blocks + threads - 1) / threads * threads;
  return std::max(l.blocks, std::min(even, l.tiles / kLeastTiles));
}

void run_pass(ThreadPool& pool, const WinogradPass& pass, const PassData& data, float* blocks) {
  const WinogradLayout& l = pass.layout;
  if (l.shared) {
    for (std::int64_t i = 0; i < l.blocks; ++i)
      share_block(pool, pass, data, l.block_begin(i), l.block_begin(i + 1), blocks);
    return;
  }
  const std::int64_t pieces = own_blocks(l, pool.thread_count());
  pool.parallel_for_threads(pieces, [&](std::int64_t i, int thread) {
    run_block(pass, data, i * l.tiles / pieces, (i + 1) * l.tiles / pieces,
              blocks + thread * l.block_count());
  });
}

// w to [36][column block over K][C][width]: runs of C are turned into panels tap by tap first, with
// zeros behind the last column.
void transform_filters(ThreadPool& pool, const WinogradPass& pass, const float* w, float* filters,
                       float* taps) {
  constexpr std::int64_t kRun = WinogradPass::kRun;
  const std::int64_t c = pass.layout.depth, k = pass.layout.columns;
  const std::int64_t runs = (c + kRun - 1) / kRun;
  pool.parallel_for_threads(runs, [&](std::int64_t run, int thread) {
    const std::int64_t first = run * kRun, count = std::min(kRun, c - first);
    float* of_thread = taps + thread * WinogradPass::taps_count();
    gemm_tile().for_each_block(k, [&](std::int64_t column, const GemmColumns& columns) {
      const std::int64_t piece = count * columns.width;
      if (columns.columns < columns.width) std::fill_n(of_thread, 9 * piece, 0.0f);
      for (std::int64_t tap = 0; tap < 9; ++tap)
        transpose(w + (column * 9 + tap) * c + first, 9 * c, columns.columns, count,
                  of_thread + tap * piece, columns.width);
      KILN_CALL_ISA(winograd_filter_f32(of_thread, piece, piece,
                                        filters + column * c + first * columns.width,
                                        pass.filter_slice));
    });
  });
}

// w to [36][column block over C][K][width], turned by half a turn.
void transform_turned_filters(ThreadPool& pool, const WinogradPass& pass, const float* w,
                              float* filters) {
  const std::int64_t k = pass.layout.depth, c = pass.layout.columns;
  pool.parallel_for(k, [&](std::int64_t at) {
    gemm_tile().for_each_block(c, [&](std::int64_t column, const GemmColumns& columns) {
      KILN_CALL_ISA(winograd_filter_f32(w + (at * 9 + 8) * c + column, -c, columns.columns,
                                        filters + column * k + at * columns.width,
                                        pass.filter_slice));
    });
  });
}

}  // namespace

bool winograd_takes(const Conv2dShape& s) {
  return s.r == 3 && s.s == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1;
}

std::size_t winograd_scratch_bytes(const Conv2dShape& s, int thread_count) {
  return winograd_forward_pass(s).scratch_bytes(thread_count);
}

std::size_t winograd_dx_scratch_bytes(const Conv2dShape& s, int thread_count) {
  return input_grad_pass(s).scratch_bytes(thread_count);
}

void winograd_f32(Context& context, const Conv2dArgs& a) {
  const WinogradPass pass = winograd_forward_pass(a.shape);
  float* filters = reinterpret_cast<float*>(a.scratch);
  float* blocks = filters + pass.filter_count();
  transform_filters(context.pool(), pass, a.w.data<float>(), filters, blocks);
  run_pass(context.pool(), pass,
           {.source = a.x.data<float>(),
            .filters = filters,
            .out = a.y.data<float>(),
            .finish = {.start = a.bias.empty() ? nullptr : a.bias.data<float>(),
                       .add = false,
                       .relu = a.activation == Activation::relu}},
           blocks);
}

void winograd_dx_f32(Context& context, const Conv2dGradArgs& a) {
  const WinogradPass pass = input_grad_pass(a.shape);
  float* filters = reinterpret_cast<float*>(a.scratch);
  transform_turned_filters(context.pool(), pass, a.w.data<float>(), filters);
  run_pass(context.pool(), pass,
           {.source = a.dy.data<float>(),
            .filters = filters,
            .out = a.dx.data<float>(),
            .finish = {.start = nullptr, .add = a.mode == GradWrite::accumulate, .relu = false}},
           filters + pass.filter_count());
}

}  // namespace kiln::cpu
