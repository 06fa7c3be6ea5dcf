#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "tests/reference/batchnorm_grad.h"

namespace kiln::bench {
namespace {

// The gradient behind the activation.
Values gradient_before(const Values& x, const Values& y, const Values& dy, const Channels& k,
                       Activation activation) {
  if (activation == Activation::relu) return reference::relu_grad(y, dy);
  const Values gamma = k.gamma.values(), beta = k.beta.values(), mean = k.mean.values(),
               inv_std = k.inv_std.values();
  Values z;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % gamma.size();
    z.push_back(gamma[c] * (x[i] - mean[c]) * inv_std[c] + beta[c]);
  }
  return reference::gelu_grad(z, dy);
}

// A reduce pass and an apply pass, each of which reads x, y and dy. With gelu neither reads y; on
// the CPU the first leaves the gradient behind it in dx, where the second finds it, on devices its
// slope is formed in both.
Case grad_case(Context& c, const Shape& shape, Activation activation) {
  const bool gelu = activation == Activation::gelu;
  const auto x = shared_random(shape, 1), dy = shared_random(shape, 2);
  const auto y = shared_output(shape), dx = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  run_batchnorm_train(c, *x, *y, *k, activation);
  const bool keeps = gelu && c.device().is_host();
  return {.work = {.flops = (10 + (gelu ? (keeps ? 1 : 2) * kGeluFlops : 0)) *
                            static_cast<double>(shape.element_count()),
                   .read_bytes = (gelu ? 4 : 6) * bytes_of(*x),
                   .write_bytes = (keeps ? 2 : 1) * bytes_of(*dx)},
          .run =
              [&c, x, y, dy, dx, k, activation] {
                batchnorm_grad(c, {.x = *x,
                                   .y = *y,
                                   .gamma = k->gamma,
                                   .beta = k->beta,
                                   .saved_mean = k->mean,
                                   .saved_inv_std = k->inv_std,
                                   .dy = *dy,
                                   .dx = *dx,
                                   .dgamma = k->dgamma,
                                   .dbeta = k->dbeta,
                                   .activation = activation,
                                   .scratch = k->scratch_data()});
              },
          .fault =
              [x, y, dy, dx, k, activation] {
                const auto wanted = reference::batchnorm_grad(
                    x->values(), k->mean.values(), k->inv_std.values(), k->gamma.values(),
                    gradient_before(x->values(), y->values(), dy->values(), *k, activation));
                return fault_of(*dx, wanted.dx, 5e-6) + fault_of(k->dgamma, wanted.dgamma, 5e-6) +
                       fault_of(k->dbeta, wanted.dbeta, 5e-6);
              }};
}

const Registrar kGrad([] { add_batchnorm_cases("batchnorm_grad", grad_case); });

}  // namespace
}  // namespace kiln::bench
