// Convolution of bf16 on the CPU: x, w, y and their gradients in bf16, bias, dw and dbias in f32.
//
// Three ways, one storage; sums are f32 and results rounded once in each:
//
//   widening  the kernels of f32 run over copies of what a piece of work reads, widened: of so many
//             rows of an image as fit the cache, and of one row at the least. All rows of a linear
//             layer's sum for dw are pixels of one such row (kernels/cpu/linear_bf16.cpp)
//   pairs     where has_bf16_dots(): the kernels of f32 over words of two bf16, multiplied by
//             vdpbf16ps; pairs of input channels forward, of output channels for dx, of images for
//             dw, an odd number filled up with zeros. Subnormal numbers count as zero. Not for
//             groups of an odd number of channels
//   widened   all operands are widened whole: for depthwise problems, whose kernels are their own
#pragma once

#include <cstddef>

#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cpu {

// Whether a problem is computed by dot products of pairs.
bool conv2d_takes_pairs(const Conv2dShape& shape);

std::size_t conv2d_bf16_scratch_bytes(const Conv2dShape& shape, int thread_count);
// Enough with and without dx. `parts`: of the sum over the batch, at most.
std::size_t conv2d_grad_bf16_scratch_bytes(const Conv2dShape& shape, int thread_count, int parts);

void conv2d_bf16(Context& context, const Conv2dArgs& args);
void conv2d_dx_bf16(Context& context, const Conv2dGradArgs& args);
void conv2d_dw_bf16(Context& context, const Conv2dGradArgs& args, int parts);

// The third way.
std::size_t conv2d_widened_scratch_bytes(const Conv2dShape& shape, int thread_count);
std::size_t conv2d_grad_widened_scratch_bytes(const Conv2dShape& shape, int thread_count,
                                              int parts);
void conv2d_widened(Context& context, const Conv2dArgs& args);
void conv2d_dx_widened(Context& context, const Conv2dGradArgs& args);
void conv2d_dw_widened(Context& context, const Conv2dGradArgs& args);

}  // namespace kiln::cpu
