// scale: y = factor x, elementwise. It is its own gradient: dx = factor dy.
//
// Shapes    x, y: floating, any one shape.
// Aliasing  y may be x where the mode is overwrite; any other overlap is an error.
// Writes    y by `mode`; never skip.
// Source    docs/math.md, "Scale".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct ScaleArgs {
  Tensor x, y;
  double factor = 1.0;  // cast to the type that sums are made in
  GradWrite mode = GradWrite::overwrite;
};

inline void check(const ScaleArgs& a) {
  require_alike("scale", {"x", a.x}, {{"y", a.y}});
  require(a.mode != GradWrite::skip, "scale", "cannot skip its only result");
}

namespace cpu {
void scale(Context&, const ScaleArgs&);
}

inline void scale(Context& c, const ScaleArgs& a) {
  check(a);
  on_device(c, Op::scale, a, cpu::scale);
}

}  // namespace kiln
