#include "kernels/cpu/gemm_tile.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/transpose.h"

KILN_DECLARE_ISA(const GemmTile& gemm_tile_kernels();)

namespace kiln::cpu {

const GemmTile& gemm_tile() { return KILN_CALL_ISA(gemm_tile_kernels()); }

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
