// How a tile of 16-bit elements lies in shared memory: 32 steps of depth, the dimension that the
// product sums over, by `extent` rows (or columns) of the result. It is kept as it lies in the
// tensor, line by line in chunks of 8 elements (16 bytes):
//
//   depth contiguous   `extent` lines of 32 depths: 4 chunks a line, two lines in 128 bytes
//   extent contiguous  32 lines, one a depth, of `extent` / 8 chunks
//
// The banks of shared memory repeat every 128 bytes, that is every 8 chunks; an access of 16 bytes
// a thread goes out 8 threads at a time and is free of conflicts when their 8 chunks differ modulo
// 8. ldmatrix reads one chunk column of 8 consecutive lines, so the chunks of a line are permuted
// by XOR with the line's number:
//
//   line   depth contiguous, 128 bytes are     extent contiguous
//   0, 1   0 1 2 3  0 1 2 3                    0 1 2 3 4 5 6 7 / 1 0 3 2 5 4 7 6
//   2, 3   1 0 3 2  1 0 3 2                    2 3 0 1 6 7 4 5 / 3 2 1 0 7 6 5 4
//   4, 5   2 3 0 1  2 3 0 1                    4 5 6 7 0 1 2 3 / 5 4 7 6 1 0 3 2
//   6, 7   3 2 1 0  3 2 1 0                    6 7 4 5 2 3 0 1 / 7 6 5 4 3 2 1 0
//
// Filling writes whole lines in order, which a permutation within 128 bytes leaves free of
// conflicts. tests/emu/implicit_gemm_layout_test.cpp computes the banks of every access.
#pragma once

#include "kernels/cuda/gpu.h"

// A loop over registers: their indices must be known to the compiler.
#if defined(__CUDACC__)
#define KILN_UNROLL _Pragma("unroll")
#else
#define KILN_UNROLL
#endif

namespace kiln::cuda {

inline constexpr int kGemmDepth = 32, kChunk = 8, kChunkBytes = 16;

template <bool depth_contiguous, int extent>
struct TileLayout {
  static constexpr bool kDepthContiguous = depth_contiguous;
  static constexpr int kLines = depth_contiguous ? extent : kGemmDepth;
  static constexpr int kChunks = (depth_contiguous ? kGemmDepth : extent) / kChunk;
  static constexpr int kBytes = kLines * kChunks * kChunkBytes;

  // Of a chunk, in bytes from the tile's start.
  __host__ __device__ static constexpr int offset(int line, int chunk) {
    const int permuted = depth_contiguous ? chunk ^ (line / 2 % 4) : chunk ^ (line % 8);
    return (line * kChunks + permuted) * kChunkBytes;
  }
  // Of the row that `lane` gives to ldmatrix for the 16 x 16 elements that start at `first` of the
  // extent and at step 16 `half` of the depth: its four matrices are (extent 0-7, depth 0-7),
  // (8-15, 0-7), (0-7, 8-15), (8-15, 8-15), in the order of A's registers.
  __host__ __device__ static constexpr int fragment_offset(int first, int half, int lane) {
    const int in_extent = lane / 8 % 2, in_depth = lane / 16, j = lane % 8;
    return depth_contiguous ? offset(first + 8 * in_extent + j, 2 * half + in_depth)
                            : offset(16 * half + 8 * in_depth + j, first / kChunk + in_extent);
  }
};

}  // namespace kiln::cuda
