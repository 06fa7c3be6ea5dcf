#include "kernels/cpu/gemm_tile.h"

#include "engine/core/check.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/transpose.h"

KILN_DECLARE_ISA(const GemmTile& gemm_tile_kernels(); const GemmTile& gemm_tile_kernels_bf16();)

#if defined(KILN_HAVE_AVX512_BF16)
namespace kiln::cpu::avx512_bf16 {
const GemmTile& pair_tile_kernels_f32();
const GemmTile& pair_tile_kernels_bf16();
}  // namespace kiln::cpu::avx512_bf16
#endif

namespace kiln::cpu {

const GemmTile& gemm_tile() { return KILN_CALL_ISA(gemm_tile_kernels()); }
const GemmTile& gemm_tile_to_bf16() { return KILN_CALL_ISA(gemm_tile_kernels_bf16()); }

#if defined(KILN_HAVE_AVX512_BF16)
const GemmTile& pair_tile_f32() { return avx512_bf16::pair_tile_kernels_f32(); }
const GemmTile& pair_tile_bf16() { return avx512_bf16::pair_tile_kernels_bf16(); }
#else
const GemmTile& pair_tile_f32() { KILN_CHECK(false); }
const GemmTile& pair_tile_bf16() { KILN_CHECK(false); }
#endif

namespace {

constexpr std::int64_t kRun = 32;  // a piece of panel that stays in the first level cache

// `rows` x `columns` of w as floats, and how far its rows are apart: in place, or in `copy`.
struct Block {
  const float* at;
  std::int64_t step;
};
Block floats_of(const float* w, std::int64_t step, std::int64_t, std::int64_t, float*) {
  return {w, step};
}
Block floats_of(const BFloat16* w, std::int64_t step, std::int64_t rows, std::int64_t columns,
                float* copy) {
  for (std::int64_t row = 0; row < rows; ++row)
    KILN_CALL_ISA(widen(w + row * step, copy + row * kRun, columns));
  return {copy, kRun};
}

template <class T>
void pack(const GemmTile& tile, const T* w, std::int64_t columns, std::int64_t depth,
          std::int64_t begin, std::int64_t end, float* panels) {
  float copy[GemmTile::kMaxWidth * kRun];
  tile.for_each_block(columns, [&](std::int64_t column, const GemmColumns& block) {
    for (std::int64_t at = begin; at < end; at += kRun) {
      const std::int64_t run = std::min(kRun, end - at);
      const Block rows = floats_of(w + column * depth + at, depth, block.columns, run, copy);
      transpose(rows.at, rows.step, block.columns, run, panels + column * depth + at * block.width,
                block.width);
    }
  });
}

}  // namespace

void pack_transposed(const GemmTile& tile, const float* w, std::int64_t columns, std::int64_t depth,
                     std::int64_t begin, std::int64_t end, float* panels) {
  pack(tile, w, columns, depth, begin, end, panels);
}
void pack_transposed(const GemmTile& tile, const BFloat16* w, std::int64_t columns,
                     std::int64_t depth, std::int64_t begin, std::int64_t end, float* panels) {
  pack(tile, w, columns, depth, begin, end, panels);
}

}  // namespace kiln::cpu
