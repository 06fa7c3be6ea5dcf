// The convolutions that conv2d and conv2d_grad are tested on, and who computes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/include/conv2d_provider.h"
#include "tests/support/check_op.h"
#include "tests/support/devices.h"
#include "tests/support/random_tensor.h"

namespace kiln::test {

// Small on purpose: the oracle is slow. Every tail of a register block, every way of the window.
// NOLINTNEXTLINE(readability-function-size): a table.
inline std::vector<Conv2dShape> conv2d_cases() {
  std::vector<Conv2dShape> cases = {
      {.n = 4, .h = 32, .w = 32, .c = 3, .k = 6, .r = 5, .s = 5},  // LeNet
      {.n = 5, .h = 14, .w = 14, .c = 6, .k = 16, .r = 5, .s = 5},
      {.n = 2, .h = 28, .w = 28, .c = 1, .k = 10, .r = 5, .s = 5},   // one channel: rows touch
      {.n = 2, .h = 12, .w = 12, .c = 10, .k = 20, .r = 5, .s = 5},  // 16 + 8 columns
      {.n = 2, .h = 9, .w = 31, .c = 24, .k = 64, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 3, .h = 7, .w = 7, .c = 40, .k = 48, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
      {.n = 2,
       .h = 8,
       .w = 8,
       .c = 16,
       .k = 33,
       .r = 3,
       .s = 3,
       .stride_h = 2,
       .stride_w = 2,
       .pad_h = 1,
       .pad_w = 1},
      {.n = 2, .h = 8, .w = 8, .c = 16, .k = 32, .r = 1, .s = 1, .stride_h = 2, .stride_w = 2},
      {.n = 3, .h = 5, .w = 6, .c = 17, .k = 31, .r = 1, .s = 1},
      {.n = 2,
       .h = 11,
       .w = 13,
       .c = 5,
       .k = 7,
       .r = 3,
       .s = 2,
       .stride_h = 3,
       .stride_w = 2,
       .pad_h = 2,
       .pad_w = 0,
       .dilation_h = 2,
       .dilation_w = 3},
      {.n = 2,
       .h = 10,
       .w = 10,
       .c = 4,
       .k = 9,
       .r = 3,
       .s = 3,
       .stride_h = 2,
       .stride_w = 4,
       .pad_h = 3,
       .pad_w = 4,
       .dilation_h = 2,
       .dilation_w = 2},  // wide pads; phases without taps
      {.n = 2,
       .h = 6,
       .w = 7,
       .c = 8,
       .k = 12,
       .r = 3,
       .s = 3,
       .pad_h = 1,
       .pad_w = 1,
       .groups = 2},
      {.n = 2,
       .h = 6,
       .w = 6,
       .c = 6,
       .k = 6,
       .r = 3,
       .s = 3,
       .stride_h = 2,
       .stride_w = 2,
       .pad_h = 1,
       .pad_w = 1,
       .groups = 6},  // depthwise
      {.n = 2,
       .h = 6,
       .w = 6,
       .c = 4,
       .k = 8,
       .r = 3,
       .s = 3,
       .dilation_h = 2,
       .dilation_w = 2,
       .groups = 4},
      // Few channels in a group: blocks of 1 to 6 outputs, windows of 3 and 5 that slide, and
      // others
      {.n = 3,
       .h = 9,
       .w = 14,
       .c = 40,
       .k = 40,
       .r = 3,
       .s = 3,
       .pad_h = 1,
       .pad_w = 1,
       .groups = 40},
      {.n = 2,
       .h = 7,
       .w = 11,
       .c = 18,
       .k = 18,
       .r = 5,
       .s = 5,
       .pad_h = 2,
       .pad_w = 2,
       .groups = 18},
      {.n = 2, .h = 6, .w = 9, .c = 5, .k = 5, .r = 2, .s = 7, .pad_h = 1, .pad_w = 5, .groups = 5},
      {.n = 2,
       .h = 9,
       .w = 10,
       .c = 33,
       .k = 33,
       .r = 3,
       .s = 4,
       .stride_h = 2,
       .stride_w = 3,
       .pad_h = 2,
       .pad_w = 1,
       .dilation_h = 1,
       .dilation_w = 2,
       .groups = 33},
      {.n = 2,
       .h = 5,
       .w = 8,
       .c = 9,
       .k = 27,
       .r = 3,
       .s = 3,
       .pad_h = 1,
       .pad_w = 1,
       .groups = 9},
      {.n = 3,
       .h = 8,
       .w = 7,
       .c = 33,
       .k = 22,
       .r = 3,
       .s = 3,
       .stride_h = 2,
       .stride_w = 1,
       .pad_h = 1,
       .pad_w = 1,
       .groups = 11},
      {.n = 2, .h = 4, .w = 4, .c = 6, .k = 6, .r = 1, .s = 1, .groups = 3},
      {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1},
      {.n = 1, .h = 3, .w = 3, .c = 2, .k = 1, .r = 3, .s = 3},  // one output pixel, K = 1
      {.n = 2, .h = 2, .w = 2, .c = 3, .k = 5, .r = 4, .s = 4, .pad_h = 2, .pad_w = 2},
      {.n = 1,
       .h = 70,
       .w = 130,
       .c = 32,
       .k = 4,
       .r = 3,
       .s = 3,
       .pad_h = 1,
       .pad_w = 1},  // bands
  };
  return cases;
}

inline Conv2dProblem problem_of(const Conv2dShape& shape, DType dtype, Activation activation,
                                bool has_bias, const Context& c) {
  return {.shape = shape,
          .dtype = dtype,
          .activation = activation,
          .has_bias = has_bias,
          .deterministic = c.deterministic(),
          .thread_count = c.pool().thread_count()};
}

// The type of bias, dw and dbias beside this storage: that of sums on the CPU.
inline DType parameter_type(DType dtype) {
  return test_device().is_host() ? accumulation_type(dtype) : dtype;
}

// `steps` in f32 or f64, and for a 16-bit result one rounding more. Results are compared with their
// largest element, so subnormal ones need no bound of their own.
inline double stored_tolerance(DType dtype, double f32_steps, double f64_steps) {
  if (is_16_bit(dtype)) return f32_steps + rounding_error(dtype);
  return dtype == DType::f32 ? f32_steps : f64_steps;
}

// Scratch exactly as large as asked for, with guard bands.
class Scratch {
 public:
  explicit Scratch(std::size_t size_bytes)
      : bytes_({static_cast<std::int64_t>(size_bytes)}, DType::u8) {}
  std::byte* data() const {
    return reinterpret_cast<std::byte*>(bytes_.view().data<std::uint8_t>());
  }
  bool guards_intact() const { return bytes_.guards_intact(); }

 private:
  OwnedTensor bytes_;
};

}  // namespace kiln::test
