// batchnorm_train: batch normalisation by the statistics of the batch, and the running statistics.
//
//   mean[c] = 1/M sum_m x[m,c]       var[c] = 1/M sum_m (x[m,c] - mean[c])^2      M = rows
//   y[m,c]  = act(gamma[c] * (x[m,c] - mean[c]) * inv_std[c] + beta[c])
//   inv_std[c] = 1 / sqrt(var[c] + epsilon)          act: none, relu, gelu
//   running_mean = (1 - momentum) running_mean + momentum mean
//   running_var  = (1 - momentum) running_var  + momentum var M / (M - 1)
//
// With `ranks`, M counts the rows of all ranks and the sums run over them; on the CPU only.
//
// Shapes    x, y: floating [..., C] with M >= 2 rows    all others: accumulation type [C]
//           gamma and beta may be empty (1 and 0); running_mean and running_var may be empty;
//           saved_scale and saved_shift, for batchnorm_apply, may be empty together.
//           scratch: batchnorm_train_scratch_bytes, aligned to 64.
// Aliasing  y may be x; any other overlap is an error.
// Order     the rows are cut into reduction_parts; a part's mean and sum of squared differences are
//           exact to a few ulp of double and parts are merged in the order of their numbers, then
//           ranks in the order of theirs; on
//           other devices the parts are added in a tree that their number alone fixes.
// Source    docs/math.md, "Batch normalisation"; Ioffe, Szegedy, arXiv 1502.03167; merging after
//           Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983.
#pragma once

#include <cstddef>

#include "kernels/common/op_check.h"
#include "kernels/include/activation.h"
#include "kernels/include/channel_exchange.h"

namespace kiln {

struct BatchnormTrainArgs {
  Tensor x, gamma, beta, y;
  Tensor saved_mean, saved_inv_std;
  Tensor saved_scale, saved_shift;
  Tensor running_mean, running_var;
  double momentum = 0.1;
  double epsilon = 1e-5;
  Activation activation = Activation::none;
  std::byte* scratch = nullptr;
  ChannelExchange* ranks = nullptr;
};

void check(const BatchnormTrainArgs& a);
std::size_t batchnorm_train_scratch_bytes(const Context& c, const Shape& x, DType dtype);

namespace cpu {
void batchnorm_train(Context&, const BatchnormTrainArgs&);
}

inline void batchnorm_train(Context& c, const BatchnormTrainArgs& a) {
  check(a);
  on_device(c, Op::batchnorm_train, a, cpu::batchnorm_train);
}

}  // namespace kiln
