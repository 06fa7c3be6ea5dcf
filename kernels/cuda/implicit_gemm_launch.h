// Starts implicit_gemm with the tile of a plan.
#pragma once

#include "kernels/common/implicit_gemm_plan.h"
#include "kernels/cuda/implicit_gemm.h"
#include "kernels/cuda/implicit_gemm_operands.h"

namespace kiln::cuda {

template <class T, class Tile, bool vector, class A, class B, class Output>
void launch_gemm_tile(Context& c, const char* name, const ImplicitGemmPlan& plan, const A& a,
                      const B& b, const Output& output) {
  launch<Threads::cooperate>(c, name, implicit_gemm<T, Tile, vector, A, B, Output>,
                             {.grid_x = blocks_for(plan.rows, Tile::kRows),
                              .grid_y = blocks_for(plan.columns, Tile::kColumns),
                              .grid_z = static_cast<unsigned>(plan.splits),
                              .block_x = Tile::kThreads},
                             a, b, output, static_cast<std::uint32_t>(plan.depth),
                             static_cast<std::uint32_t>(plan.part));
}

// `has_tall`: whether this product's plans name the tall tile.
template <class T, bool has_tall, class A, class B, class Output>
void launch_implicit_gemm(Context& c, const char* name, const ImplicitGemmPlan& plan, const A& a,
                          const B& b, const Output& output) {
  if (!plan.vector) return launch_gemm_tile<T, SmallTile, false>(c, name, plan, a, b, output);
  if (plan.tile == GemmTileKind::large)
    return launch_gemm_tile<T, LargeTile, true>(c, name, plan, a, b, output);
  if constexpr (has_tall)
    if (plan.tile == GemmTileKind::tall)
      return launch_gemm_tile<T, TallTile, true>(c, name, plan, a, b, output);
  launch_gemm_tile<T, SmallTile, true>(c, name, plan, a, b, output);
}

}  // namespace kiln::cuda
