// Words of two bf16, what a dot product of pairs takes at once; a word bears the name of a float,
// because the kernels that move words are those of f32. Only where has_bf16_dots().
#pragma once

#include <cstdint>

#include "engine/core/half.h"
#include "kernels/cpu/conv2d_window.h"

namespace kiln::cpu {

// words[i] = (first[i], second[i]), i < count; zeros for `second` where it is null.
void pair_up(const BFloat16* first, const BFloat16* second, float* words, std::int64_t count);

// window_source of pairs of two images, always a copy; zeros for the second where it is null.
WindowSource paired_window_source(const Window& window, const BFloat16* first,
                                  const BFloat16* second, std::int64_t begin, std::int64_t end,
                                  float* padded);

}  // namespace kiln::cpu
