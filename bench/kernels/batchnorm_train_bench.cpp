#include "bench/kernels/batchnorm_channels.h"
#include "bench/kernels/verify.h"
#include "tests/reference/batchnorm_train.h"
#include "tests/reference/relu.h"

namespace kiln::bench {
namespace {

// Statistics and map: x is read twice. Where it stays in a cache between the two, less memory is
// touched and the roofline is passed.
Case train_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  const auto k = std::make_shared<Channels>(c, shape);
  return {.work = {.flops = 8.0 * static_cast<double>(shape.element_count()),
                   .read_bytes = 2 * bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run = [&c, x, y, k] { run_batchnorm_train(c, *x, *y, *k, Activation::relu); },
          .fault =
              [x, y, k] {
                const Values values = x->values();
                const auto state = reference::batch_statistics(values, k->gamma.values().size());
                return fault_of(*y,
                                reference::relu(reference::batchnorm_apply(
                                    values, state, k->gamma.values(), k->beta.values(), kEpsilon)),
                                2e-6);
              }};
}

const Registrar kTrain([] {
  for (const auto& [name, shape] : activations()) {
    add_case("batchnorm_train", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return train_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
