// batchnorm_grad: gradient of batchnorm_train.
//
//   g[m,c]    = dy[m,c] (none), dy[m,c] where y[m,c] > 0, else 0 (relu),
//               dy[m,c] * d/dz (z Phi(z)) at z = gamma[c] * h[m,c] + beta[c] (gelu)
//   h[m,c]    = (x[m,c] - mean[c]) * inv_std[c]
//   dbeta[c]  = sum_m g[m,c]            dgamma[c] = sum_m g[m,c] h[m,c]
//   dx[m,c]   = gamma[c] inv_std[c] (g[m,c] - dbeta[c] / M - h[m,c] dgamma[c] / M)
//
// With `ranks`, M and the sums in dx are those of all ranks; dgamma and dbeta are this rank's own,
// for whoever adds up the gradients of parameters. On the CPU only.
//
// Shapes    x, dy, dx, y: floating [..., C]    all others: accumulation type [C]
//           y only with relu, beta only with gelu and may be empty (0); gamma may be empty (1);
//           dgamma and dbeta may be empty together; dx may be empty where mode is skip
//           scratch: batchnorm_grad_scratch_bytes, aligned to 64
// Aliasing  dx may be dy (overwrite only); any other overlap is an error.
// Writes    dx by `mode`; dgamma and dbeta are replaced, or added to with accumulate_parameters.
// Order     reduction_parts partial sums over the rows, added in the order of their numbers, then
//           ranks' sums in the order of theirs; on other devices in a tree that their number
//           alone fixes.
// Source    docs/math.md, "Batch normalisation".
#pragma once

#include <cstddef>

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"
#include "kernels/include/channel_exchange.h"
#include "kernels/include/grad_write.h"

namespace kiln {

struct BatchnormGradArgs {
  Tensor x, y, gamma, beta, saved_mean, saved_inv_std;
  Tensor dy, dx, dgamma, dbeta;
  Activation activation = Activation::none;
  GradWrite mode = GradWrite::overwrite;
  bool accumulate_parameters = false;
  std::byte* scratch = nullptr;
  ChannelExchange* ranks = nullptr;
};

void check(const BatchnormGradArgs& a);
std::size_t batchnorm_grad_scratch_bytes(const Context& c, const Shape& x, DType dtype);

namespace cpu {
void batchnorm_grad(Context&, const BatchnormGradArgs&);
}

inline void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  check(a);
  on_device(c, Op::batchnorm_grad, a, cpu::batchnorm_grad);
}

}  // namespace kiln
