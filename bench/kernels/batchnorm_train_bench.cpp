#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "tests/reference/batchnorm_train.h"

namespace kiln::bench {
namespace {

// Statistics and map: x is read twice. Where it stays in a cache between the two, less memory is
// touched and the roofline is passed.
Case train_case(Context& c, const Shape& shape, Activation activation) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  return {.work = {.flops = (8 + (activation == Activation::gelu ? kGeluFlops : 0)) *
                            static_cast<double>(shape.element_count()),
                   .read_bytes = 2 * bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run = [&c, x, y, k, activation] { run_batchnorm_train(c, *x, *y, *k, activation); },
          .fault =
              [x, y, k, activation] {
                const Values values = x->values();
                const auto state = reference::batch_statistics(values, k->gamma.values().size());
                return fault_of(
                    *y,
                    activated_values(reference::batchnorm_apply(values, state, k->gamma.values(),
                                                                k->beta.values(), kEpsilon),
                                     activation),
                    2e-6);
              }};
}

const Registrar kTrain([] { add_batchnorm_cases("batchnorm_train", train_case); });

}  // namespace
}  // namespace kiln::bench
