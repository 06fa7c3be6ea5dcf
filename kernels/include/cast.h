// cast: y = x in another type.
//
// Shapes    x, y: floating, any one shape; f64 comes to 16 bits through f32.
// Aliasing  none.
// Source    docs/math.md, "Mixed precision".
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct CastArgs {
  Tensor x, y;
};

inline void check(const CastArgs& a) {
  require_float("cast", "x", a.x);
  require_float("cast", "y", a.y);
  require_tensor("cast", "y", a.y, a.x.shape(), a.y.dtype(), a.x.device());
}

namespace cpu {
void cast(Context&, const CastArgs&);
}

inline void cast(Context& c, const CastArgs& a) {
  check(a);
  on_device(c, Op::cast, a, cpu::cast);
}

}  // namespace kiln
