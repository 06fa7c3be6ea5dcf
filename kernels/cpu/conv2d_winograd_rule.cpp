#include "kernels/cpu/conv2d_winograd_rule.h"

#include "kernels/cpu/has_bf16.h"

namespace kiln::cpu {
namespace {

std::int64_t tiles_of_picture(const Conv2dShape& s) {
  return ((s.p() + 3) / 4) * ((s.q() + 3) / 4);
}

// Few channels: the transforms cost more than the products that they save. And at least half of
// what the tiles hold must be of the picture.
bool pays(const Conv2dShape& s) {
  constexpr std::int64_t kChannels = 16;
  return s.c >= kChannels && s.k >= kChannels && 2 * s.p() * s.q() >= 16 * tiles_of_picture(s);
}

}  // namespace

bool winograd_takes(const Conv2dShape& s) {
  return s.r == 3 && s.s == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1;
}

bool winograd_pays_for_any_batch(const Conv2dShape& s) {
  constexpr std::int64_t kTiles = 4;
  return pays(s) && tiles_of_picture(s) >= kTiles;
}

bool uses_winograd(const Conv2dProblem& problem, CpuConv2dAlgorithm algorithm) {
  const Conv2dShape& s = problem.shape;
  const bool stored = problem.dtype == DType::f32 || computes_bf16(problem.dtype);
  if (!kHasWinograd || !stored || !winograd_takes(s)) return false;
  if (algorithm != CpuConv2dAlgorithm::automatic) return algorithm == CpuConv2dAlgorithm::winograd;
  // Few tiles: the transformed filters, four times the plain ones, are made and read for little.
  // Only the smallest pictures let that depend on their number: ranks and batches of other sizes
  // shall differ by the order of sums, not by the algorithm.
  constexpr std::int64_t kTilesOfBatch = 24;
  return winograd_pays_for_any_batch(s) || (pays(s) && s.n * tiles_of_picture(s) >= kTilesOfBatch);
}

}  // namespace kiln::cpu
