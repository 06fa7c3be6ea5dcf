// add_relu: the end of a residual block, y = act(a + b), elementwise.
//
// Shapes    a, b, y: floating, any one shape.
// Aliasing  y may be a or b; any other overlap is an error.
// Source    docs/math.md, "Residual add".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"

namespace kiln {

struct AddReluArgs {
  Tensor a, b, y;
  Activation activation = Activation::relu;
};

inline void check(const AddReluArgs& a) {
  require_alike("add_relu", {"a", a.a}, {{"b", a.b}, {"y", a.y}});
  require(a.activation != Activation::gelu, "add_relu", "knows relu only");
}

namespace cpu {
void add_relu(Context&, const AddReluArgs&);
}

inline void add_relu(Context& c, const AddReluArgs& a) {
  check(a);
  on_device(c, Op::add_relu, a, cpu::add_relu);
}

}  // namespace kiln
