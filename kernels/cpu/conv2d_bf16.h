// Convolution of bf16 on the CPU: x, w, y and their gradients in bf16, bias, dw and dbias in f32.
//
// Where the processor multiplies pairs of bf16 (has_bf16_dots) the kernels are those of f32 over
// words of two: pairs of input channels forward, of output channels for dx, of images for dw; an
// odd number is filled up with zeros. Elsewhere, and for groups of an odd number of channels, all
// is widened to f32 in scratch memory and computed there: the same storage, other roundings of the
// sum.
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

// The same by f32 kernels over widened copies.
std::size_t conv2d_widened_scratch_bytes(const Conv2dShape& shape, int thread_count);
std::size_t conv2d_grad_widened_scratch_bytes(const Conv2dShape& shape, int thread_count,
                                              int parts);
void conv2d_widened(Context& context, const Conv2dArgs& args);
void conv2d_dx_widened(Context& context, const Conv2dGradArgs& args);
void conv2d_dw_widened(Context& context, const Conv2dGradArgs& args);

}  // namespace kiln::cpu
