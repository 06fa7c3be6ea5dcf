#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "kernels/include/batchnorm_infer.h"
#include "tests/reference/batchnorm_infer.h"

namespace kiln::bench {
namespace {

Case infer_case(Context& c, const Shape& shape, Activation activation) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  return {.work = {.flops = (2 + (activation == Activation::gelu ? kGeluFlops : 0)) *
                            static_cast<double>(shape.element_count()),
                   .read_bytes = bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run =
              [&c, x, y, k, activation] {
                batchnorm_infer(c, {.x = *x,
                                    .gamma = k->gamma,
                                    .beta = k->beta,
                                    .running_mean = k->running_mean,
                                    .running_var = k->running_var,
                                    .y = *y,
                                    .epsilon = kEpsilon,
                                    .activation = activation});
              },
          .fault =
              [x, y, k, activation] {
                return fault_of(
                    *y,
                    activated_values(
                        reference::batchnorm_infer(
                            x->values(), {k->running_mean.values(), k->running_var.values()},
                            k->gamma.values(), k->beta.values(), kEpsilon),
                        activation),
                    5e-7);
              }};
}

const Registrar kInfer([] { add_batchnorm_cases("batchnorm_infer", infer_case); });

}  // namespace
}  // namespace kiln::bench
