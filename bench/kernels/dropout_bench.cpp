#include "bench/kernels/verify.h"
#include "kernels/include/dropout.h"
#include "kernels/include/dropout_grad.h"
#include "tests/reference/dropout.h"

namespace kiln::bench {
namespace {

constexpr reference::DropoutKey kKey{0.5, 7, 1, 3, 2};

Values wanted(const OwnedTensor& x, bool channel) {
  const Shape& shape = x.shape();
  return reference::dropout(kKey, x.values(), channel ? static_cast<std::size_t>(shape[0]) : 1,
                            channel ? static_cast<std::size_t>(shape[-1]) : 1, channel);
}

Case dropout_case(Context& c, const Shape& shape, bool channel) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  return {.work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run =
              [&c, x, y, channel] {
                dropout(c, {.x = *x,
                            .y = *y,
                            .p = kKey.p,
                            .channel = channel,
                            .seed = kKey.seed,
                            .epoch = kKey.epoch,
                            .step = kKey.step,
                            .layer_id = kKey.layer});
              },
          .fault = [x, y, channel] { return fault_of(*y, wanted(*x, channel), 1e-7); }};
}

Case dropout_grad_case(Context& c, const Shape& shape) {
  const auto dy = shared_random(shape, 1);
  const auto dx = shared_output(shape);
  return {.work = {.read_bytes = bytes_of(*dy), .write_bytes = bytes_of(*dx)},
          .run =
              [&c, dy, dx] {
                dropout_grad(c, {.dy = *dy,
                                 .dx = *dx,
                                 .p = kKey.p,
                                 .seed = kKey.seed,
                                 .epoch = kKey.epoch,
                                 .step = kKey.step,
                                 .layer_id = kKey.layer});
              },
          .fault = [dy, dx] { return fault_of(*dx, wanted(*dy, false), 1e-7); }};
}

const Registrar kDropout([] {
  for (const auto& [name, shape] : activations()) {
    add_case("dropout", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return dropout_case(c, with_count(s, n), false);
    });
    add_case("dropout_channel", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return dropout_case(c, with_count(s, n), true);
    });
    add_case("dropout_grad", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return dropout_grad_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
