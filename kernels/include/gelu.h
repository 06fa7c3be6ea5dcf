// gelu: Gaussian error linear unit in its exact form, elementwise.
//
//   y = x * Phi(x),   Phi(x) = (1 + erf(x / sqrt 2)) / 2
//
// Shapes    x, y: floating, any one shape.
// Aliasing  y may be x; any other overlap is an error.
// Source    docs/math.md, "GELU"; Hendrycks, Gimpel, arXiv 1606.08415.
#pragma once

#include "kernels/common/op_check.h"

namespace kiln {

struct GeluArgs {
  Tensor x, y;
};

inline void check(const GeluArgs& a) { require_alike("gelu", {"x", a.x}, {{"y", a.y}}); }

namespace cpu {
void gelu(Context&, const GeluArgs&);
}

inline void gelu(Context& c, const GeluArgs& a) {
  check(a);
  on_device(c, Op::gelu, a, cpu::gelu);
}

}  // namespace kiln
