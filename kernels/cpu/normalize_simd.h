// Bytes of pictures to normalised floats.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// y = ((x - high[c]) - low[c]) * scale[c], c = place modulo channel_count (1 to 4). high + low is
// the mean in two floats: x - high is exact or rounded once and nothing cancels, so y is within
// 2 ulp of the exact value.
struct NormalizeNumbers {
  float high[4], low[4], scale[4];
  std::int64_t channel_count;
};

struct ByteMoments {
  std::uint64_t sum, squares;
};

}  // namespace kiln::cpu

// y is f32 or bf16, rounded once more.
KILN_DECLARE_ISA(template <class T> void normalize(const NormalizeNumbers& n, const std::uint8_t* x,
                                                   T* y, std::int64_t count);
                 ByteMoments byte_moments(const std::uint8_t* x, std::int64_t count);)
