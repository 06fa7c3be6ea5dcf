// linear for few rows: y[n][o] as dot products along the inputs, weights read once and in place.
#pragma once

#include <cstdint>

namespace kiln::cpu {

struct LinearDotJob {
  const float* x = nullptr;     // [rows, inputs]
  const float* w = nullptr;     // [outputs, inputs]
  const float* bias = nullptr;  // [outputs] or null
  float* y = nullptr;           // [rows, outputs]
  std::int64_t rows = 0, inputs = 0, outputs = 0;
  bool relu = false;
};

}  // namespace kiln::cpu
