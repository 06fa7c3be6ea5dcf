// softmax_xent: cross-entropy of class scores, its gradient and the hits, in one pass.
//
//   p[n,k]  = exp(z[n,k] - m[n]) / sum_j exp(z[n,j] - m[n])      m[n] = max_k z[n,k]
//   q[n,k]  = (1 - label_smoothing) [k == t[n]] + label_smoothing / K
//   loss[n] = - sum_k q[n,k] log p[n,k]
//   dz[n,k] = scale (p[n,k] - q[n,k])            scale = 1/N for the mean over the batch
//   hit[n]  = 1 where t[n] is the first k with the largest z[n,k], else 0 (a row with NaN: 0)
//
// Shapes    z: floating [N,K], K >= 1, on the CPU f32 or f64    t: i32 [N], 0 <= t < K
//           loss: accumulation type [N]    hit: i32 [N]    dz: as z, or empty in evaluation
//           loss_scale: f32 [4], whose first number then also multiplies dz, or empty; not on the
//           CPU
// Aliasing  dz may be z; any other overlap is an error.
// Writes    loss, hit and dz are replaced.
// Errors    a label outside [0, K) is refused before anything is written; on a device other than
//           the CPU labels are not read here and must have been checked.
// Order     each row is summed in one fixed order, so runs agree bit for bit.
// Source    docs/math.md, "Softmax cross-entropy" and "Mixed precision".
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct SoftmaxXentArgs {
  Tensor z, t, loss, hit, dz;
  Tensor loss_scale;
  double label_smoothing = 0;
  double scale = 1;
};

void check(const SoftmaxXentArgs& a);

namespace cpu {
void softmax_xent(Context&, const SoftmaxXentArgs&);
}

inline void softmax_xent(Context& c, const SoftmaxXentArgs& a) {
  check(a);
  on_device(c, Op::softmax_xent, a, cpu::softmax_xent);
}

}  // namespace kiln
