#include "bench/kernels/verify.h"
#include "kernels/include/add_relu.h"
#include "kernels/include/add_relu_grad.h"
#include "tests/reference/add_relu.h"

namespace kiln::bench {
namespace {

Case add_relu_case(Context& c, const Shape& shape) {
  const auto a = shared_random(shape, 1), b = shared_random(shape, 2);
  const auto y = shared_output(shape);
  return {
      .work = {.read_bytes = 2 * bytes_of(*a), .write_bytes = bytes_of(*y)},
      .run = [&c, a, b, y] { add_relu(c, {.a = *a, .b = *b, .y = *y}); },
      .fault = [a, b,
                y] { return fault_of(*y, reference::add_relu(a->values(), b->values()), 6e-8); }};
}

Case add_relu_grad_case(Context& c, const Shape& shape) {
  const auto y = shared_random(shape, 1), dy = shared_random(shape, 2);
  const auto dsum = shared_output(shape);
  return {.work = {.read_bytes = 2 * bytes_of(*y), .write_bytes = bytes_of(*dsum)},
          .run = [&c, y, dy, dsum] { add_relu_grad(c, {.y = *y, .dy = *dy, .dsum = *dsum}); },
          .fault =
              [y, dy, dsum] {
                return fault_of(*dsum, reference::relu_grad(y->values(), dy->values()), 0);
              }};
}

const Registrar kAddRelu([] {
  for (const auto& [name, shape] : activations()) {
    add_case("add_relu", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return add_relu_case(c, with_count(s, n));
    });
    add_case("add_relu_grad", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return add_relu_grad_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
