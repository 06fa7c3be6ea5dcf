#include "bench/kernels/verify.h"
#include "kernels/include/relu.h"
#include "kernels/include/relu_grad.h"
#include "tests/reference/relu.h"

namespace kiln::bench {
namespace {

Case relu_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  return {.work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { relu(c, {.x = *x, .y = *y}); },
          .fault = [x, y] { return fault_of(*y, reference::relu(x->values()), 0); }};
}

Case relu_grad_case(Context& c, const Shape& shape) {
  const auto y = shared_random(shape, 1), dy = shared_random(shape, 2);
  const auto dx = shared_output(shape);
  return {
      .work = {.read_bytes = 2 * bytes_of(*y), .write_bytes = bytes_of(*dx)},
      .run = [&c, y, dy, dx] { relu_grad(c, {.y = *y, .dy = *dy, .dx = *dx}); },
      .fault = [y, dy,
                dx] { return fault_of(*dx, reference::relu_grad(y->values(), dy->values()), 0); }};
}

const Registrar kRelu([] {
  for (const auto& [name, shape] : activations()) {
    add_case("relu", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return relu_case(c, with_count(s, n)); });
    add_case("relu_grad", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return relu_grad_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
