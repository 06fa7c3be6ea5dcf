// batchnorm_infer: batch normalisation by the running statistics.
//
//   y[m,c] = act(x[m,c] * scale[c] + shift[c])
//   scale[c] = gamma[c] / sqrt(running_var[c] + epsilon)
//   shift[c] = beta[c] - running_mean[c] * scale[c]
//
// Shapes    x, y: floating [..., C]    all others: accumulation type [C]; gamma and beta may be
// empty. Aliasing  y may be x; any other overlap is an error. Source    docs/math.md, "Batch
// normalisation".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"

namespace kiln {

struct BatchnormInferArgs {
  Tensor x, gamma, beta, running_mean, running_var, y;
  double epsilon = 1e-5;
  Activation activation = Activation::none;
};

void check(const BatchnormInferArgs& a);

namespace cpu {
void batchnorm_infer(Context&, const BatchnormInferArgs&);
}

inline void batchnorm_infer(Context& c, const BatchnormInferArgs& a) {
  check(a);
  on_device(c, Op::batchnorm_infer, a, cpu::batchnorm_infer);
}

}  // namespace kiln
