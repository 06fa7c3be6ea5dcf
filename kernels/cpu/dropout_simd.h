// The masks of dropout in f32, kLanes Philox counters at once.
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

// to = from * mask or to += from * mask for elements [0, count) of arrays of T, f32 or bf16, whose
// first element has the number 4 * first_block.
KILN_DECLARE_ISA(template <class T>
                 void dropout(const MaskNumbers& mask, std::uint64_t first_block, const T* from,
                              T* to, std::int64_t count, bool add);
                 template <class T> void scale_columns(const float* factors, const T* from, T* to,
                                                       std::int64_t row_count, std::int64_t stride,
                                                       std::int64_t column_count, bool add);)
