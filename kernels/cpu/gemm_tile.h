// The one micro-kernel under convolution and linear: a block of C held in registers while a sum of
// small matrix products runs over it.
//
//   C[m][j] = start[j] + sum_{o, i, d} a[o*a_outer + i*a_inner + m*a_row + d*a_step] *
//                                      b[o*b_outer + i*b_inner + d*b_step + j]
//   o < outer_count, i < inner_count, d < depth; then C = max(C, 0) where relu is set,
//   or C += ... where add_to_c is set.
//
// A is read one element at a time (broadcast), B and C by vectors along j. The sum runs in the
// order o, i, d in every element, whatever the block's size, so cutting a matrix into other blocks
// changes no bit. Which loop is a convolution's window and which its pixels is the caller's affair.
//
// The same block on bf16: a word of A and of B is a pair of them, 32 bits under the name of a
// float, and C[m][j] sums a.first * b.first + a.second * b.second (vdpbf16ps: the second product is
// added first, each sum is rounded to nearest, and what is subnormal counts as zero, in A, in B and
// in the sums).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/core/half.h"

namespace kiln::cpu {

struct GemmTileJob {
  const float* a = nullptr;
  const float* b = nullptr;
  void* c = nullptr;             // float, or BFloat16 where the kernels say so
  const float* start = nullptr;  // one value per column, or null for zeros
  std::ptrdiff_t a_outer = 0, a_inner = 0, a_row = 0, a_step = 1;  // one of a_row and a_step is 1
  std::ptrdiff_t b_outer = 0, b_inner = 0, b_step = 0;
  std::ptrdiff_t c_row = 0;
  std::int64_t outer_count = 1, inner_count = 1, depth = 0;
  bool add_to_c = false, relu = false;
};

// A block of columns: `columns` of `width` are there, the rest is padding that is neither read from
// B nor written to C.
struct GemmColumns {
  int kind = 0;  // which width
  int width = 0, columns = 0, max_rows = 0;
};

// The micro-kernels of one instruction set.
struct GemmTile {
  static constexpr int kKindCount = 3, kMaxWidth = 32;
  using Run = void (*)(const GemmTileJob& job, int columns);

  int width[kKindCount];           // descending; the last may repeat
  int max_rows[kKindCount];        // what the registers hold
  const Run* runs[kKindCount][2];  // [kind][a_row == 1][rows - 1]
  std::ptrdiff_t out_size;         // bytes of an element of C

  // Sums one block of C of `rows` <= block.max_rows rows.
  void run(const GemmTileJob& job, const GemmColumns& block, std::int64_t rows) const {
    runs[block.kind][job.a_row == 1][rows - 1](job, block.columns);
  }
  // The block to begin with when `remaining` columns are left.
  GemmColumns block(std::int64_t remaining) const {
    int kind = 0;
    while (kind + 1 < kKindCount && width[kind + 1] >= remaining) ++kind;
    // 20 columns are cheaper as 16 + 8 than as 32.
    while (kind + 1 < kKindCount && width[kind] > remaining &&
           padded(kind + 1, remaining) < width[kind])
      ++kind;
    const int columns = static_cast<int>(std::min<std::int64_t>(remaining, width[kind]));
    return {kind, width[kind], columns, max_rows[kind]};
  }
  // Columns with padding of `count` columns cut into blocks.
  std::int64_t padded(std::int64_t count) const {
    std::int64_t total = 0;
    for (std::int64_t at = 0; at < count;) {
      const int step = block(count - at).width;
      total += step;
      at += step;
    }
    return total;
  }
  // Calls body(first_column, block) for the blocks of `count` columns.
  template <class Body>
  void for_each_block(std::int64_t count, const Body& body) const {
    for (std::int64_t at = 0; at < count;) {
      const GemmColumns columns = block(count - at);
      body(at, columns);
      at += columns.width;
    }
  }

 private:
  std::int64_t padded(int kind, std::int64_t count) const {
    if (count <= width[kind]) return width[kind];
    const std::int64_t rest = count - width[kind];
    int last = kKindCount - 1;
    while (last > 0 && width[last] < rest) --last;
    return width[kind] + width[last];
  }
};

// Cuts `rows` rows into blocks of nearly equal height, at most `max_rows`: body(first_row, rows).
template <class Body>
void for_each_row_block(std::int64_t rows, int max_rows, const Body& body) {
  const std::int64_t blocks = (rows + max_rows - 1) / max_rows;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * rows / blocks, end = (block + 1) * rows / blocks;
    body(begin, end - begin);
  }
}

// The micro-kernels for the instruction set in use.
const GemmTile& gemm_tile();

// The same with C in bf16 (then c is BFloat16's): the sums are those of f32, rounded once.
const GemmTile& gemm_tile_to_bf16();

// The micro-kernels on pairs of bf16, with results in f32 and rounded to bf16 (strides of C count
// elements of that type). Only where has_bf16_dots().
const GemmTile& pair_tile_f32();
const GemmTile& pair_tile_bf16();

// Packs rows j in [begin, end) of the transpose of `w` [columns, depth] into the panels of
// `tile`: for the block at column k, panel[k*depth + j*width + lane] = w[(k + lane)*depth + j].
void pack_transposed(const GemmTile& tile, const float* w, std::int64_t columns, std::int64_t depth,
                     std::int64_t begin, std::int64_t end, float* panels);
// The same from bf16, widened.
void pack_transposed(const GemmTile& tile, const BFloat16* w, std::int64_t columns,
                     std::int64_t depth, std::int64_t begin, std::int64_t end, float* panels);

}  // namespace kiln::cpu
