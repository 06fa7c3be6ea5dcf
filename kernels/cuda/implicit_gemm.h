// The matrix product behind a convolution on tensor cores: result = A B, with A [rows, depth] and B
// [depth, columns] given by operands that compute addresses (implicit_gemm_operands.h), f16 or bf16
// in, f32 sums.
//
// A block computes a tile of the result, 32 steps of depth at a time, from a ring of kStages pairs
// of tiles in shared memory: while the warps multiply pair s, the copies of pairs s + 1 to
// s + kStages - 1 are on their way (cp.async). One barrier a step does for both directions: behind
// it pair s has arrived for every thread, and nobody reads pair s - 1, whose place is filled next.
// Each warp holds its part of the result in registers; at the end the parts go through shared
// memory, 64 rows at a time, so that threads store 8 neighbouring columns each.
//
// Order     each element is one sum over its depth: steps of 16 in rising order, in a tensor core's
//           own order within a step.
//
// For compute capability 8.0 and 9.0, from `nvcc -Xptxas -v` by tools/check_kernel_resources.py;
// the largest over all passes and types, none spills:
//
//   tile                          threads  registers  shared memory  blocks a multiprocessor
//   128 x 128                     256      122, 121   48 KiB         2, 2
//   128 x 64                      256      78, 72     48 KiB         3, 3
//   64 x 64                       128      90, 80     32 KiB         4, 6
//   64 x 64, element by element   128      128, 128   32 KiB         4, 4
//
// Not yet run on a GPU.
#pragma once

#include "kernels/cuda/implicit_gemm_layout.h"
#include "kernels/cuda/mma.h"

namespace kiln::cuda {

template <int rows, int columns, int warps_down, int warps_across, int stages>
struct GemmTile {
  static constexpr int kRows = rows, kColumns = columns, kStages = stages;
  static constexpr int kWarpsAcross = warps_across, kThreads = 32 * warps_down * warps_across;
  static constexpr int kWarpRows = rows / warps_down, kWarpColumns = columns / warps_across;
  // 64 rows of the result as f32, each line 8 longer: so the lanes' pairs of neighbouring columns
  // fall into different banks.
  static constexpr int kBand = 64, kPitch = columns + 8;
  static_assert(kWarpRows <= kBand && kWarpRows % 16 == 0 && kWarpColumns % 16 == 0);
};
using LargeTile = GemmTile<128, 128, 2, 4, 3>;  // a warp 64 x 32
using TallTile = GemmTile<128, 64, 4, 2, 4>;    // 32 x 32
using SmallTile = GemmTile<64, 64, 2, 2, 4>;    // 32 x 32

// Fills tiles of one operand, for one thread: chunks `thread`, `thread` + threads, ..., all at one
// place of their lines. What does not change along the depth is computed once.
template <class Operand, class T, int extent, int threads, bool vector>
class Filler {
 public:
  using Layout = TileLayout<Operand::kDepthContiguous, extent>;

  __device__ Filler(const Operand& operand, int thread, std::uint32_t first)
      : operand_(operand),
        line_(thread / Layout::kChunks),
        chunk_(thread % Layout::kChunks),
        first_(first) {
    if constexpr (Layout::kDepthContiguous) {
      KILN_UNROLL
      for (int pass = 0; pass < kPasses; ++pass)
        outer_[pass] = operand_.outer(first + static_cast<std::uint32_t>(line_of(pass)));
    } else {
      inner_[0] = operand_.inner(first + static_cast<std::uint32_t>(chunk_ * kChunk));
    }
  }

  // The tile's depths are `depth` to `depth` + 31.
  __device__ void fill(unsigned char* tile, std::uint32_t depth) const {
    const std::uint32_t place =
        (Layout::kDepthContiguous ? depth : first_) + static_cast<std::uint32_t>(chunk_ * kChunk);
    const auto inner = Layout::kDepthContiguous ? operand_.inner(place) : inner_[0];
    KILN_UNROLL
    for (int pass = 0; pass < kPasses; ++pass) {
      const auto outer = outer_of(pass, depth);
      unsigned char* to = tile + Layout::offset(line_of(pass), chunk_);
      if constexpr (vector) {
        const T* from = operand_.at(outer, inner);
        cp_async_16(to, from == nullptr ? operand_.base : from, from != nullptr);
      } else {
        fill_singly(reinterpret_cast<T*>(to), outer, place);
      }
    }
  }

 private:
  static constexpr int kPasses = Layout::kLines * Layout::kChunks / threads;
  static_assert(Layout::kLines * Layout::kChunks % threads == 0 && threads % Layout::kChunks == 0);

  __device__ int line_of(int pass) const { return line_ + pass * (threads / Layout::kChunks); }
  __device__ typename Operand::Outer outer_of(int pass, std::uint32_t depth) const {
    if constexpr (Layout::kDepthContiguous) return outer_[pass];
    return operand_.outer(depth + static_cast<std::uint32_t>(line_of(pass)));
  }
  __device__ void fill_singly(T* to, const typename Operand::Outer& outer,
                              std::uint32_t place) const {
    for (std::uint32_t i = 0; i < kChunk; ++i) {
      const T* from = operand_.at(outer, operand_.inner(place + i));
      to[i] = from == nullptr ? T{} : *from;
    }
  }

  const Operand& operand_;
  int line_, chunk_;
  std::uint32_t first_;
  typename Operand::Outer outer_[Layout::kDepthContiguous ? kPasses : 1];
  typename Operand::Inner inner_[1];
};

// sum += the product of two tiles, for the part of the result that starts at (row, column).
template <class T, class Tile, class LayoutA, class LayoutB>
__device__ inline void multiply_tiles(float (&sum)[Tile::kWarpRows / 16][Tile::kWarpColumns / 8][4],
                                      const unsigned char* a, const unsigned char* b, int row,
                                      int column, int lane) {
  constexpr int kDown = Tile::kWarpRows / 16, kAcross = Tile::kWarpColumns / 16;
  KILN_UNROLL
  for (int half = 0; half < kGemmDepth / 16; ++half) {
    std::uint32_t left[kDown][4], right[kAcross][4];
    KILN_UNROLL
    for (int i = 0; i < kDown; ++i)
      ldmatrix_x4<!LayoutA::kDepthContiguous>(
          left[i], a + LayoutA::fragment_offset(row + 16 * i, half, lane));
    KILN_UNROLL
    for (int j = 0; j < kAcross; ++j)
      ldmatrix_x4<!LayoutB::kDepthContiguous>(
          right[j], b + LayoutB::fragment_offset(column + 16 * j, half, lane));
    KILN_UNROLL
    for (int i = 0; i < kDown; ++i) {
      KILN_UNROLL
      for (int j = 0; j < 2 * kAcross; ++j) {
        const std::uint32_t eight_columns[2] = {right[j / 2][j % 2], right[j / 2][j % 2 + 2]};
        mma_m16n8k16<T>(sum[i][j], left[i], eight_columns);
      }
    }
  }
}

// Lays a warp's registers into rows of kPitch floats.
template <class Tile>
__device__ inline void stage_sums(
    const float (&sum)[Tile::kWarpRows / 16][Tile::kWarpColumns / 8][4], float* staged, int lane) {
  KILN_UNROLL
  for (int i = 0; i < Tile::kWarpRows / 16; ++i) {
    KILN_UNROLL
    for (int j = 0; j < Tile::kWarpColumns / 8; ++j) {
      KILN_UNROLL
      for (int half = 0; half < 2; ++half) {
        float* to = staged + (16 * i + 8 * half + lane / 4) * Tile::kPitch + 8 * j + lane % 4 * 2;
        to[0] = sum[i][j][2 * half];
        to[1] = sum[i][j][2 * half + 1];
      }
    }
  }
}

// Hands the tile whose registers are `sum` to output.store(row, column, 8 values), through shared
// memory. All threads of the block call it, behind a barrier.
template <class Tile, class Output>
__device__ inline void store_tile(
    const float (&sum)[Tile::kWarpRows / 16][Tile::kWarpColumns / 8][4], float* staged,
    const Output& output, std::uint32_t first_row, std::uint32_t first_column, int row,
    int column) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  constexpr int kAcross = Tile::kColumns / kChunk;
  for (int band = 0; band < Tile::kRows; band += Tile::kBand) {
    if (row / Tile::kBand * Tile::kBand == band)
      stage_sums<Tile>(sum, staged + (row - band) * Tile::kPitch + column, lane);
    __syncthreads();
    for (int i = thread; i < Tile::kBand * kAcross; i += Tile::kThreads)
      output.store(first_row + static_cast<std::uint32_t>(band + i / kAcross),
                   first_column + static_cast<std::uint32_t>(i % kAcross * kChunk),
                   staged + i / kAcross * Tile::kPitch + i % kAcross * kChunk);
    __syncthreads();
  }
}

// A ring of tile pairs and how it is filled.
template <class T, class Tile, bool vector, class A, class B>
class Pipeline {
 public:
  using LayoutA = TileLayout<A::kDepthContiguous, Tile::kRows>;
  using LayoutB = TileLayout<B::kDepthContiguous, Tile::kColumns>;
  static constexpr int kStageBytes = LayoutA::kBytes + LayoutB::kBytes;
  static constexpr int kBytes = Tile::kStages * kStageBytes;
  static_assert(kBytes <= 48 * 1024);
  static_assert(Tile::kBand * Tile::kPitch * 4 <= kBytes);

  __device__ Pipeline(const A& a, const B& b, unsigned char* ring, std::uint32_t first_row,
                      std::uint32_t first_column)
      : a_(a, static_cast<int>(threadIdx.x), first_row),
        b_(b, static_cast<int>(threadIdx.x), first_column),
        ring_(ring) {}

  // Depths [begin, end) of the product; in steps of 32, zeros behind the operands' own depth.
  __device__ void run(float (&sum)[Tile::kWarpRows / 16][Tile::kWarpColumns / 8][4],
                      std::uint32_t begin, std::uint32_t end, int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto steps = static_cast<int>((end - begin + kGemmDepth - 1) / kGemmDepth);
    for (int step = 0; step < Tile::kStages - 1; ++step) start(begin, step, steps);
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<Tile::kStages - 2>();
      __syncthreads();
      start(begin, step + Tile::kStages - 1, steps);
      const unsigned char* pair = ring_ + step % Tile::kStages * kStageBytes;
      multiply_tiles<T, Tile, LayoutA, LayoutB>(sum, pair, pair + LayoutA::kBytes, row, column,
                                                lane);
    }
    cp_async_wait<0>();
    __syncthreads();
  }

 private:
  // Begins the copies of a step; an empty group past the last one keeps the count of groups.
  __device__ void start(std::uint32_t begin, int step, int steps) const {
    if (step < steps) {
      unsigned char* pair = ring_ + step % Tile::kStages * kStageBytes;
      const std::uint32_t depth = begin + static_cast<std::uint32_t>(step * kGemmDepth);
      a_.fill(pair, depth);
      b_.fill(pair + LayoutA::kBytes, depth);
    }
    cp_async_commit();
  }

  Filler<A, T, Tile::kRows, Tile::kThreads, vector> a_;
  Filler<B, T, Tile::kColumns, Tile::kThreads, vector> b_;
  unsigned char* ring_;
};

// Block (x, y, z): tile x of the rows, y of the columns, part z of the depth, `part` depths each.
template <class T, class Tile, bool vector, class A, class B, class Output>
__global__ void __launch_bounds__(Tile::kThreads)
    implicit_gemm(const A a, const B b, const Output output, std::uint32_t depth,
                  std::uint32_t part) {
  using Ring = Pipeline<T, Tile, vector, A, B>;
  alignas(128) __shared__ unsigned char memory[Ring::kBytes];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / Tile::kWarpsAcross * Tile::kWarpRows;
  const int column = warp % Tile::kWarpsAcross * Tile::kWarpColumns;
  const std::uint32_t first_row = blockIdx.x * Tile::kRows;
  const std::uint32_t first_column = blockIdx.y * Tile::kColumns;
  const std::uint32_t begin = blockIdx.z * part;
  const std::uint32_t end = depth - begin < part ? depth : begin + part;
  float sum[Tile::kWarpRows / 16][Tile::kWarpColumns / 8][4] = {};
  Ring(a, b, memory, first_row, first_column).run(sum, begin, end, row, column);
  store_tile<Tile>(sum, reinterpret_cast<float*>(memory), output, first_row, first_column, row,
                   column);
}

// Eight neighbouring elements, stored at once.
template <class T>
struct alignas(sizeof(T) * kChunk) Chunk {
  T element[kChunk];
};

}  // namespace kiln::cuda
