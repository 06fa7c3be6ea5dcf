// normalize_image: bytes of pictures to the numbers that a network takes.
//
//   constant   y[n,h,w,c] = (x[n,h,w,c] / 255 - mean[c]) * inv_std[c]
//   per_image  y[n,h,w,c] = (x[n,h,w,c] / 255 - m[n]) / max(d[n], 1 / sqrt(HWC))
//              m[n], d[n]: mean and population deviation of all numbers x/255 of picture n. The
//              floor is TensorFlow's (per_image_standardization): pictures of one colour become 0.
//
// Shapes    x: u8 [N,H,W,C], C <= 4 where mode is constant    y: floating, same shape.
// Aliasing  none.
// Order     sums over a picture are exact integers.
// Source    docs/math.md, "Normalisation of pictures".
#pragma once

#include <array>

#include "kernels/common/op_check.h"

namespace kiln {

enum class NormalizeMode { constant, per_image };

struct NormalizeImageArgs {
  Tensor x, y;
  std::array<double, 4> mean{};                  // of x/255, per channel
  std::array<double, 4> inv_std{1, 1, 1, 1};     // 1 / deviation of x/255
  NormalizeMode mode = NormalizeMode::constant;  // per_image ignores mean and inv_std
};

void check(const NormalizeImageArgs& a);

namespace cpu {
void normalize_image(Context&, const NormalizeImageArgs&);
}

inline void normalize_image(Context& c, const NormalizeImageArgs& a) {
  check(a);
  on_device(c, Op::normalize_image, a, cpu::normalize_image);
}

}  // namespace kiln
