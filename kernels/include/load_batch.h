// load_batch: a batch of training pictures out of a data set in the device's memory: gathered in
// the epoch's order, changed at random, and normalised, in one pass.
//
//   i     = order[batch * batch_size + n]                      batch: that of the state
//   b     = pictures[i], cropped, flipped and cut out as drawn from (seed, epoch, i)
//   x[n]  = normalised b      as normalize_image does, bit for bit on one device
//   t[n]  = labels[i]
//
// The draws and their order are those of engine/core/augmentation.h: the host's loader makes the
// same bytes. A whole batch has batch_size pictures; the last of an epoch may have fewer, N of
// them. Where batch lies behind the end of the order nothing is written.
//
// Shapes    pictures: u8 [M,H,W,C], C <= 4 where mode is constant, C 1 or 3 with cutout
//           labels: i32 [M]    order: i64 [M], each in [0, M)    x: floating [N,H,W,C]
//           t: i32 [N]    N <= batch_size
// Aliasing  none.
// Writes    x and t are replaced.
// Order     sums over a picture are exact integers.
// Source    docs/math.md, "Changed pictures" and "Normalisation of pictures".
#pragma once

#include <array>

#include "engine/core/augmentation.h"
#include "kernels/common/op_check.h"
#include "kernels/include/normalize_image.h"
#include "kernels/include/step_state.h"

namespace kiln {

struct LoadBatchArgs {
  Tensor pictures, labels, order;
  Tensor x, t;
  const StepState* state = nullptr;  // in the memory of the tensors' device
  std::int64_t batch_size = 0;
  Augmentation augmentation = {};
  std::array<double, 4> mean{};  // as in normalize_image
  std::array<double, 4> inv_std{1, 1, 1, 1};
  NormalizeMode mode = NormalizeMode::constant;
};

void check(const LoadBatchArgs& a);

namespace cpu {
void load_batch(Context&, const LoadBatchArgs&);
}

inline void load_batch(Context& c, const LoadBatchArgs& a) {
  check(a);
  on_device(c, Op::load_batch, a, cpu::load_batch);
}

}  // namespace kiln
