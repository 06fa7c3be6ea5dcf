// linear and its gradient in bf16: x, w, y and their gradients in bf16, bias, dw and dbias in f32.
// A row is a pixel of a 1x1 convolution (kernels/cpu/conv2d_bf16.h).
#pragma once

#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"

namespace kiln::cpu {

std::size_t linear_bf16_scratch_bytes(const Context& context, std::int64_t rows,
                                      std::int64_t inputs, std::int64_t outputs);
std::size_t linear_grad_bf16_scratch_bytes(const Context& context, std::int64_t rows,
                                           std::int64_t inputs, std::int64_t outputs);
void linear_bf16(Context& context, const LinearArgs& args);
void linear_grad_bf16(Context& context, const LinearGradArgs& args);

}  // namespace kiln::cpu
