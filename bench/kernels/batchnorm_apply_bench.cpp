#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "kernels/include/batchnorm_apply.h"
#include "tests/reference/batchnorm_apply.h"

namespace kiln::bench {
namespace {

// The running mean, gamma and beta of `Channels` stand for mean, scale and shift.
Case apply_case(Context& c, const Shape& shape, Activation activation) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  return {.work = {.flops = (3 + (activation == Activation::gelu ? kGeluFlops : 0)) *
                            static_cast<double>(shape.element_count()),
                   .read_bytes = bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run =
              [&c, x, y, k, activation] {
                batchnorm_apply(c, {.x = *x,
                                    .mean = k->running_mean,
                                    .scale = k->gamma,
                                    .shift = k->beta,
                                    .y = *y,
                                    .activation = activation});
              },
          .fault =
              [x, y, k, activation] {
                return fault_of(*y,
                                activated_values(reference::batchnorm_apply(
                                                     x->values(), k->running_mean.values(),
                                                     k->gamma.values(), k->beta.values()),
                                                 activation),
                                5e-7);
              }};
}

const Registrar kApply([] { add_batchnorm_cases("batchnorm_apply", apply_case); });

}  // namespace
}  // namespace kiln::bench
