// linear and its gradients in the terms of a library that stores matrices by columns, such as
// cuBLASLt: one product each, D[m,n] = op(A)[m,k] op(B)[k,n], nothing transposed in memory.
//
// A row-major matrix is, by columns, its own transpose. So each pass computes its result's
// transpose:
//
//   y^T [O,N] = w  x^T        dx^T [I,N] = w^T dz^T        dw^T [I,O] = x^T dz
//
// bias lies along D's rows (m = O), where such libraries add it. dbias sums dz over the depth of
// dw^T (k = N), one sum for each of D's columns (n = O).
#pragma once

#include <cstdint>

#include "kernels/include/activation.h"

namespace kiln {

enum class LinearPass { forward, input_gradient, weight_gradient };
enum class LinearOperand { x, w, y, dz, dx, dw };

// By columns: element (i, j) lies at i + j * ld, ld >= rows.
struct ColumnMatrix {
  LinearOperand operand;
  std::int64_t rows, columns, ld;
  bool transposed = false;  // op(M) = M^T
};

struct LinearMatmul {
  std::int64_t m, n, k;
  ColumnMatrix a, b, d;
};

// x [row_count, input_count], w [output_count, input_count], both row-major without gaps.
constexpr LinearMatmul matmul_of(LinearPass pass, std::int64_t row_count, std::int64_t input_count,
                                 std::int64_t output_count) {
  using enum LinearOperand;
  const std::int64_t n = row_count, i = input_count, o = output_count;
  switch (pass) {
    case LinearPass::forward:
      return {o, n, i, {w, i, o, i, true}, {x, i, n, i}, {y, o, n, o}};
    case LinearPass::input_gradient:
      return {i, n, o, {w, i, o, i}, {dz, o, n, o}, {dx, i, n, i}};
    case LinearPass::weight_gradient:
      break;
  }
  return {i, o, n, {x, i, n, i}, {dz, o, n, o, true}, {dw, i, o, i}};
}

// What is done to the sums before they are written; `bias_gradient` sums op(B) over k beside it.
enum class MatmulEpilogue { none, bias, relu, bias_relu, bias_gradient };

constexpr MatmulEpilogue forward_epilogue(bool has_bias, Activation activation) {
  if (activation == Activation::relu)
    return has_bias ? MatmulEpilogue::bias_relu : MatmulEpilogue::relu;
  return has_bias ? MatmulEpilogue::bias : MatmulEpilogue::none;
}

// By its header cuBLASLt stores dbias and does not add: where it is added to, the device's own
// kernel makes it.
constexpr MatmulEpilogue weight_gradient_epilogue(bool has_bias, bool accumulate_parameters) {
  return has_bias && !accumulate_parameters ? MatmulEpilogue::bias_gradient : MatmulEpilogue::none;
}

}  // namespace kiln
