// accumulate: y += x, elementwise; with a grid y += grid round(x / grid), halves to even.
//
// On a grid sums are exact, so their order is free: multiples of grid add without rounding as long
// as no sum of them reaches 2^53 grid. x from 2^51 grid on is added as it is.
//
// Shapes    x, y: floating, any one shape; with a grid, a power of two, x f32 and y f64, on the CPU
//           only.
// Aliasing  without a grid y may be x (which doubles it); any other overlap is an error.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct AccumulateArgs {
  Tensor x, y;
  double grid = 0.0;  // 0: none
};

inline void check(const AccumulateArgs& a) {
  if (a.grid == 0.0) return require_alike("accumulate", {"x", a.x}, {{"y", a.y}});
  require_tensor("accumulate", "x", a.x, a.y.shape(), DType::f32, Device{});
  require_tensor("accumulate", "y", a.y, a.x.shape(), DType::f64, Device{});
}

namespace cpu {
void accumulate(Context&, const AccumulateArgs&);
}

inline void accumulate(Context& c, const AccumulateArgs& a) {
  check(a);
  on_device(c, Op::accumulate, a, cpu::accumulate);
}

}  // namespace kiln
