// The masks of dropout for f32, kLanes Philox counters at once.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// DropoutMask as plain numbers; `stream` is RandomStream::dropout.
struct MaskNumbers {
  std::uint32_t key0, key1, epoch, stream, threshold;
  float scale;
};

}  // namespace kiln::cpu

// to = from * mask or to += from * mask for elements [0, count) of arrays whose first element has
// the number 4 * first_block.
KILN_DECLARE_ISA(void dropout_f32(const MaskNumbers& mask, std::uint64_t first_block,
                                  const float* from, float* to, std::int64_t count, bool add);
                 void scale_columns_f32(const float* factors, const float* from, float* to,
                                        std::int64_t row_count, std::int64_t stride,
                                        std::int64_t column_count, bool add);)
