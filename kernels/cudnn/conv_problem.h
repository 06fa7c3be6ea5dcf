// One convolution as cuDNN sees it: one pass, one element type, one way to multiply.
#pragma once

#include <cstddef>
#include <string>

#include "engine/core/dtype.h"
#include "kernels/include/conv2d_provider.h"

namespace kiln::cudnn {

enum class ConvPass { forward, input_gradient, filter_gradient };
// What the forward pass does to its sums before it writes them. Its relu hands NaN on.
enum class Epilogue { none, bias, bias_relu, relu };
// How f32 is multiplied: as it is, or rounded to 10 bits of mantissa on tensor cores. Sums are f32.
enum class FloatMath { fp32, tf32 };

struct ConvProblem {
  Conv2dShape shape;
  DType dtype = DType::f32;   // f32, f16 or bf16, of all tensors but the result
  DType result = DType::f32;  // of what the pass writes
  ConvPass pass = ConvPass::forward;
  Epilogue epilogue = Epilogue::none;
  FloatMath math = FloatMath::fp32;
  bool deterministic = false;
  bool operator==(const ConvProblem&) const = default;
};

// One word that tells this problem from every other, such as
// "forward+bias_relu,f32,f32,fp32,64x32x32x3,6x5x5,s1x1,p0x0,d1x1,g1".
std::string key_of(const ConvProblem& problem);

// Scratch for the larger of the gradients that a backward pass adds to: a graph only replaces, so
// each is made there first and then added.
std::size_t added_gradient_bytes(const Conv2dProblem& problem);

}  // namespace kiln::cudnn
