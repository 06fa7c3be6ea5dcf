// add_relu_grad: gradient of y = act(a + b); both summands get the same one.
//
//   dsum = dy where y > 0, else 0      (relu)
//   dsum = dy                          (none)
//
// Shapes    y, dy, dsum: floating, any one shape; y may be empty without an activation.
// Aliasing  dsum may be dy; any other overlap is an error.
// Writes    dsum is replaced.
// Source    docs/math.md, "Residual add".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"

namespace kiln {

struct AddReluGradArgs {
  Tensor y, dy, dsum;
  Activation activation = Activation::relu;
};

inline void check(const AddReluGradArgs& a) {
  require_alike("add_relu_grad", {"dy", a.dy}, {{"dsum", a.dsum}});
  require(a.activation != Activation::gelu, "add_relu_grad", "knows relu only");
  if (a.activation == Activation::relu) require_alike("add_relu_grad", {"dy", a.dy}, {{"y", a.y}});
}

namespace cpu {
void add_relu_grad(Context&, const AddReluGradArgs&);
}

inline void add_relu_grad(Context& c, const AddReluGradArgs& a) {
  check(a);
  on_device(c, Op::add_relu_grad, a, cpu::add_relu_grad);
}

}  // namespace kiln
