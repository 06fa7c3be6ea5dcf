// muon_step: momentum whose direction is made nearly orthogonal, for the filters of convolutions
// and other matrices. Of each W [R, C] (a tensor's first extent by all others), in this order:
//
//   m = momentum m + g            u = g + momentum m (nesterov), m (else)
//   W = W sqrt(R) / |W|                                           |.|: root of the sum of squares
//   X = u / (|u| + 1e-7)
//   `iterations` times:  A = X X^T,  B = a I + b A + c A A,  X = B X
//   W = W - lr X
//   (a, b, c) = (3.4445, -4.7750, 2.0315)
//
// Where R > C, A = X^T X and X = X B instead. The polynomial brings every singular value of u
// near 1; the recipe computes it in bf16, this op in the type of w (docs/decisions.md, "Muon in
// f32"). A matrix that is all zero has no norm, and its W becomes NaN.
//
// Shapes    of each matrix: w: f32 or f64, rank 2 or more    grad: as w, or beside f32 f16 or bf16
//           of that shape    momentum_buffer: as w, zero before the first step
//           copy: as a 16-bit grad, on the CPU bf16 beside an f32 grad, or empty: gets w rounded
//           to its type
//           loss_scale, state: as in sgd_step; `rate`: which of the state's rates
//           scratch: muon_step_scratch_bytes, aligned to 64.
// Aliasing  none.
// Writes    w, momentum_buffer and copy, in place; the matrices one after the other.
// Order     squares are summed by rows, then the rows' sums in order; every element of a product is
//           one sum in a fixed order. The thread count changes no bit.
// Source    docs/math.md, "Muon"; K. Jordan, Muon, 2024.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/common/op_check.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct MuonMatrix {
  Tensor w, grad, momentum_buffer, copy = {};
};

struct MuonStepArgs {
  std::span<const MuonMatrix> matrices;
  Tensor loss_scale = {};
  double lr = 0;
  double momentum = 0;
  bool nesterov = false;
  int iterations = 3;
  const StepState* state = nullptr;
  int rate = kBaseRate;
  std::byte* scratch = nullptr;
};

// Coefficients of the polynomial, and what keeps the division by |u| from 0.
struct MuonNumbers {
  static constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315, kEpsilon = 1e-7;
};

// The extents of a tensor as a matrix.
struct MuonExtents {
  std::int64_t rows = 0, columns = 0;
  explicit MuonExtents(const Shape& shape)
      : rows(shape[0]), columns(shape.element_count() / shape[0]) {}
  std::int64_t smaller() const { return rows < columns ? rows : columns; }
};

// For the largest of `shapes`.
std::size_t muon_step_scratch_bytes(std::span<const Shape> shapes, DType dtype);

void check(const MuonStepArgs& a);

namespace cpu {
void muon_step(Context&, const MuonStepArgs&);
}

inline void muon_step(Context& c, const MuonStepArgs& a) {
  check(a);
  on_device(c, Op::muon_step, a, cpu::muon_step);
}

}  // namespace kiln
