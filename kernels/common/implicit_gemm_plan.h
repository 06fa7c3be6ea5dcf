// Which tile computes which convolution: a fixed rule of the shape, so that equal problems give
// equal bits everywhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/core/dtype.h"
#include "kernels/include/conv2d_shape.h"

namespace kiln {

enum class GemmTileKind { small, tall, large };  // 64 x 64, 128 x 64, 128 x 128

struct ImplicitGemmPlan {
  GemmTileKind tile = GemmTileKind::small;
  // Whether eight neighbouring channels can be read and written at once, in every tensor.
  bool vector = false;
  std::int64_t rows = 0, columns = 0, depth = 0;
  // The depth in `splits` parts of `part`, a multiple of 32; more than one only for dw.
  std::int64_t splits = 1, part = 0;

  // Such as "implicit GEMM 128x64x32 mma.sync bf16".
  std::string text(DType dtype) const;
};

inline constexpr std::int64_t kGemmDepthStep = 32;

constexpr std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct GemmTileExtent {
  std::int64_t rows, columns;
};
constexpr GemmTileExtent extent_of(GemmTileKind tile) {
  return {tile == GemmTileKind::small ? 64 : 128, tile == GemmTileKind::large ? 128 : 64};
}
constexpr std::int64_t blocks_of(GemmTileKind tile, std::int64_t rows, std::int64_t columns) {
  const GemmTileExtent e = extent_of(tile);
  return ceil_divide(rows, e.rows) * ceil_divide(columns, e.columns);
}

// As many blocks as a large GPU has multiprocessors; a constant, lest the device change the bits.
inline constexpr std::int64_t kGemmBlocksWanted = 132;

// The largest tile that is not mostly empty and still gives every multiprocessor a block. Without
// vector access, always the small one: loading is what takes the time.
constexpr GemmTileKind choose_gemm_tile(bool vector, std::int64_t rows, std::int64_t columns) {
  if (!vector) return GemmTileKind::small;
  if (columns > 64 && blocks_of(GemmTileKind::large, rows, columns) >= kGemmBlocksWanted)
    return GemmTileKind::large;
  if (blocks_of(GemmTileKind::tall, rows, columns) >= kGemmBlocksWanted) return GemmTileKind::tall;
  return GemmTileKind::small;
}

constexpr bool takes_vectors(const Conv2dShape& s) { return s.c % 8 == 0 && s.k % 8 == 0; }

// y: output pixels by filters, over taps and channels.
inline ImplicitGemmPlan plan_forward_gemm(const Conv2dShape& s) {
  ImplicitGemmPlan p{.vector = takes_vectors(s),
                     .rows = s.n * s.p() * s.q(),
                     .columns = s.k,
                     .depth = s.r * s.s * s.c};
  p.tile = choose_gemm_tile(p.vector, p.rows, p.columns);
  p.part = p.depth;
  return p;
}

// dx: input pixels by channels, over taps and filters.
inline ImplicitGemmPlan plan_dx_gemm(const Conv2dShape& s) {
  ImplicitGemmPlan p{.vector = takes_vectors(s),
                     .rows = s.n * s.h * s.w,
                     .columns = s.c,
                     .depth = s.r * s.s * s.k};
  p.tile = choose_gemm_tile(p.vector, p.rows, p.columns);
  p.part = p.depth;
  return p;
}

// dw: filters by taps and channels, over output pixels. The result is small and the depth long: it
// is cut into parts of at least 256 pixels until there are two blocks a multiprocessor.
inline ImplicitGemmPlan plan_dw_gemm(const Conv2dShape& s) {
  ImplicitGemmPlan p{.vector = takes_vectors(s),
                     .rows = s.k,
                     .columns = s.r * s.s * s.c,
                     .depth = s.n * s.p() * s.q()};
  const bool large = p.vector && p.rows > 64 && p.columns > 64;
  p.tile = large ? GemmTileKind::large : GemmTileKind::small;
  const std::int64_t wanted =
      ceil_divide(2 * kGemmBlocksWanted, blocks_of(p.tile, p.rows, p.columns));
  const std::int64_t splits =
      std::clamp<std::int64_t>(p.depth / 256, 1, std::min<std::int64_t>(wanted, 64));
  p.part = ceil_divide(ceil_divide(p.depth, splits), kGemmDepthStep) * kGemmDepthStep;
  p.splits = ceil_divide(p.depth, p.part);
  return p;
}

// dbias sums its pixels in this many parts.
inline std::int64_t dbias_parts(const Conv2dShape& s) {
  return std::clamp<std::int64_t>(s.n * s.p() * s.q() / 256, 1, 64);
}

// Of both gradients of parameters, as f32: the partial sums of dw, then those of dbias.
inline std::size_t implicit_gemm_grad_scratch_bytes(const Conv2dShape& s) {
  const ImplicitGemmPlan dw = plan_dw_gemm(s);
  return static_cast<std::size_t>(dw.splits * dw.rows * dw.columns + dbias_parts(s) * s.k) * 4;
}

// f16 or bf16, one group, and every tensor small enough for 32-bit offsets.
bool implicit_gemm_takes(const Conv2dShape& shape, DType dtype);

}  // namespace kiln
