// batchnorm_apply: the result of batchnorm_train once more, from the numbers that it kept.
//
//   y[m,c] = act((x[m,c] - mean[c]) * scale[c] + shift[c])       act: none, relu, gelu
//
// With x, saved_mean, saved_scale and saved_shift of a batchnorm_train y has the bits of its y.
//
// Shapes    x, y: floating [..., C]    all others: accumulation type [C]
// Aliasing  y may be x; any other overlap is an error.
// Source    docs/math.md, "Batch normalisation".
#pragma once

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"

namespace kiln {

struct BatchnormApplyArgs {
  Tensor x, mean, scale, shift, y;
  Activation activation = Activation::none;
};

void check(const BatchnormApplyArgs& a);

namespace cpu {
void batchnorm_apply(Context&, const BatchnormApplyArgs&);
}

inline void batchnorm_apply(Context& c, const BatchnormApplyArgs& a) {
  check(a);
  on_device(c, Op::batchnorm_apply, a, cpu::batchnorm_apply);
}

}  // namespace kiln
