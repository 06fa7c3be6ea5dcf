#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "kernels/include/batchnorm_infer.h"
#include "tests/reference/batchnorm_infer.h"
#include "tests/reference/relu.h"

namespace kiln::bench {
namespace {

Case infer_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  return {.work = {.flops = 2.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run =
              [&c, x, y, k] {
                batchnorm_infer(c, {.x = *x,
                                    .gamma = k->gamma,
                                    .beta = k->beta,
                                    .running_mean = k->running_mean,
                                    .running_var = k->running_var,
                                    .y = *y,
                                    .epsilon = kEpsilon,
                                    .activation = Activation::relu});
              },
          .fault =
              [x, y, k] {
                return fault_of(
                    *y,
                    reference::relu(reference::batchnorm_infer(
                        x->values(), {k->running_mean.values(), k->running_var.values()},
                        k->gamma.values(), k->beta.values(), kEpsilon)),
                    5e-7);
              }};
}

const Registrar kInfer([] {
  for (const auto& [name, shape] : activations()) {
    add_case("batchnorm_infer", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return infer_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
