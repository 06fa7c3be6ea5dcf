// relu: y = max(x, 0), elementwise; NaN stays NaN.
//
// Shapes    x, y: floating, any one shape.
// Aliasing  y may be x; any other overlap is an error.
// Source    docs/math.md, "ReLU".
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct ReluArgs {
  Tensor x, y;
};

inline void check(const ReluArgs& a) { require_alike("relu", {"x", a.x}, {{"y", a.y}}); }

namespace cpu {
void relu(Context&, const ReluArgs&);
}

inline void relu(Context& c, const ReluArgs& a) {
  check(a);
  on_device(c, Op::relu, a, cpu::relu);
}

}  // namespace kiln
