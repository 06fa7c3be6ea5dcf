// Sizes and layouts that the passes of kernels/cpu/conv2d_winograd.h share.
//
// Tiles are worked on in blocks. Where the transformed filters take up to 2.5 MiB, a block's
// tensors take up to 1 MiB and one thread takes it through all stages, with tensors of its own: the
// tensors stay in the second level cache (2 MiB where it was measured), and of the filters, read
// anew for every block, a slice at a time. Larger filters would cost more to read than the tensors:
// then blocks are of up to 16 MiB, their tensors shared, and the threads divide each stage among
// them. Where one such block holds all tiles, the filters, or the sums of their gradient, are made
// and used a panel at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/conv2d_f32.h"
#include "kernels/cpu/conv2d_winograd_simd.h"
#include "kernels/cpu/gemm_tile.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln::cpu {

inline constexpr int kWinogradSlices = 36, kWinogradTile = 4;

// From one row to the next of `channels` floats: whole cache lines, and never a multiple of 1 KiB,
// which would bring a column of rows into a few sets of the first level cache.
constexpr std::int64_t winograd_row(std::int64_t channels) {
  const std::int64_t floats = whole_lines(channels);
  return floats % 256 == 0 ? floats + 16 : floats;
}

// From one slice to the next: an odd number of cache lines, so that the 36 of a tile spread over
// the sets.
constexpr std::int64_t winograd_slice(std::int64_t float_count) {
  const std::int64_t lines = whole_lines(float_count) / 16;
  return (lines % 2 == 0 ? lines + 1 : lines) * 16;
}

// Two transformed tensors over the same tiles, `depth` and `columns` channels wide, and a matrix
// [depth][columns] for each slice.
struct WinogradLayout {
  // `tile_count`: of the whole batch.
  WinogradLayout(std::int64_t depth_, std::int64_t columns_, std::int64_t tile_count);

  std::int64_t block_begin(std::int64_t index) const { return index * tiles / blocks; }
  // Whether the threads share one block with all tiles: then no transformed filter is wanted twice,
  // and no sum of their gradient is added to, so that both can be panels in a thread's cache.
  bool in_one_block() const { return shared && blocks == 1; }
  // Floats of one block's tensors.
  std::int64_t block_count() const { return kWinogradSlices * (depth_slice + column_slice); }
  WinogradRows depth_rows(float* block) const { return {block, depth_slice, depth_row}; }
  WinogradRows column_rows(float* block) const {
    return {block + kWinogradSlices * depth_slice, column_slice, column_row};
  }

  std::int64_t depth, columns, tiles;
  bool shared = false;           // blocks of tiles are shared by all threads
  std::int64_t blocks = 1;       // of tiles
  std::int64_t block_tiles = 1;  // at most, in one of them
  std::int64_t depth_row = 0, column_row = 0, depth_slice = 0, column_slice = 0;
};

// The tiles over the pixels [first, first + 4 tiles) of images of h x w pixels.
WinogradTiles winograd_tiles(std::int64_t h, std::int64_t w, std::int64_t channels,
                             std::int64_t first_h, std::int64_t first_w, std::int64_t covered_h,
                             std::int64_t covered_w);

// The rows from `row` on.
inline WinogradRows from_row(const WinogradRows& rows, std::int64_t row) {
  return {rows.slices + row * rows.row_step, rows.slice_step, rows.row_step};
}

// One stage over the tiles [0, count) of a shared block, dealt to the threads: body(begin, end).
template <class Body>
void share_tiles(ThreadPool& pool, std::int64_t count, const Body& body) {
  constexpr std::int64_t kTiles = 8;
  pool.parallel_for((count + kTiles - 1) / kTiles, [&](std::int64_t piece) {
    body(piece * kTiles, std::min((piece + 1) * kTiles, count));
  });
}

// Channels of a panel.
inline constexpr std::int64_t kWinogradPanel = 32;

// Panels of `channels` that are under way together, each with memory of its own.
constexpr std::int64_t panel_sets(std::int64_t channels, std::int64_t thread_count) {
  return std::min(thread_count, (channels + kWinogradPanel - 1) / kWinogradPanel);
}

// All panels, dealt to the threads: body(first channel, count, memory), with set_count floats of
// `sets` for each of the panel_sets.
template <class Body>
void share_panels(ThreadPool& pool, std::int64_t channels, float* sets, std::int64_t set_count,
                  const Body& body) {
  const std::int64_t panels = (channels + kWinogradPanel - 1) / kWinogradPanel;
  const bool set_for_each = panels <= pool.thread_count();
  pool.parallel_for_threads(panels, [&](std::int64_t panel, int thread) {
    const std::int64_t first = panel * kWinogradPanel;
    body(first, std::min(kWinogradPanel, channels - first),
         sets + (set_for_each ? panel : thread) * set_count);
  });
}

}  // namespace kiln::cpu
