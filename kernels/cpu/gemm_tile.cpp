#include "kernels/cpu/gemm_tile.h"

#include "engine/core/check.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/transpose.h"

KILN_DECLARE_ISA(const GemmTile& gemm_tile_kernels();)

#if defined(KILN_HAVE_AVX512_BF16)
namespace kiln::cpu::avx512_bf16 {
const GemmTile& pair_tile_kernels_f32();
const GemmTile& pair_tile_kernels_bf16();
}  // namespace kiln::cpu::avx512_bf16
#endif

namespace kiln::cpu {

const GemmTile& gemm_tile() { return KILN_CALL_ISA(gemm_tile_kernels()); }

#if defined(KILN_HAVE_AVX512_BF16)
const GemmTile& pair_tile_f32() { return avx512_bf16::pair_tile_kernels_f32(); }
const GemmTile& pair_tile_bf16() { return avx512_bf16::pair_tile_kernels_bf16(); }
#else
const GemmTile& pair_tile_f32() { KILN_CHECK(false); }
const GemmTile& pair_tile_bf16() { KILN_CHECK(false); }
#endif

void pack_transposed(const GemmTile& tile, const float* w, std::int64_t columns, std::int64_t depth,
                     std::int64_t begin, std::int64_t end, float* panels) {
  constexpr std::int64_t kRun = 32;  // a piece of panel that stays in the first level cache
  tile.for_each_block(columns, [&](std::int64_t column, const GemmColumns& block) {
    for (std::int64_t at = begin; at < end; at += kRun)
      transpose(w + column * depth + at, depth, block.columns, std::min(kRun, end - at),
                panels + column * depth + at * block.width, block.width);
  });
}

}  // namespace kiln::cpu
