#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "tests/reference/batchnorm_grad.h"
#include "tests/reference/relu.h"

namespace kiln::bench {
namespace {

// A reduce pass and an apply pass, each of which reads x, y and dy.
Case grad_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1), dy = shared_random(shape, 2);
  const auto y = shared_output(shape), dx = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  run_batchnorm_train(c, *x, *y, *k, Activation::relu);
  return {.work = {.flops = 10.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = 6 * bytes_of(*x),
                   .write_bytes = bytes_of(*dx)},
          .run =
              [&c, x, y, dy, dx, k] {
                batchnorm_grad(c, {.x = *x,
                                   .y = *y,
                                   .gamma = k->gamma,
                                   .saved_mean = k->mean,
                                   .saved_inv_std = k->inv_std,
                                   .dy = *dy,
                                   .dx = *dx,
                                   .dgamma = k->dgamma,
                                   .dbeta = k->dbeta,
                                   .activation = Activation::relu,
                                   .scratch = k->scratch_data()});
              },
          .fault =
              [x, y, dy, dx, k] {
                const auto wanted = reference::batchnorm_grad(
                    x->values(), k->mean.values(), k->inv_std.values(), k->gamma.values(),
                    reference::relu_grad(y->values(), dy->values()));
                return fault_of(*dx, wanted.dx, 5e-6) + fault_of(k->dgamma, wanted.dgamma, 5e-6) +
                       fault_of(k->dbeta, wanted.dbeta, 5e-6);
              }};
}

const Registrar kGrad([] {
  for (const auto& [name, shape] : activations()) {
    add_case("batchnorm_grad", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return grad_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
