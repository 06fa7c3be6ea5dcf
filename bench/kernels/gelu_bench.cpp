#include "bench/kernels/verify.h"
#include "kernels/include/gelu.h"
#include "kernels/include/gelu_grad.h"
#include "tests/reference/gelu.h"

namespace kiln::bench {
namespace {

// FLOP of one element: 12 of the polynomial, 8 of the exponential, 19 around them, each a
// multiply-add.
constexpr double kFlops = 78;

Case gelu_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1, -4, 4);
  const auto y = shared_output(shape);
  return {.work = {.flops = kFlops * static_cast<double>(shape.element_count()),
                   .read_bytes = bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { gelu(c, {.x = *x, .y = *y}); },
          .fault = [x, y] { return fault_of(*y, reference::gelu(x->values()), 1.5e-7); }};
}

Case gelu_grad_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1, -4, 4), dy = shared_random(shape, 2);
  const auto dx = shared_output(shape);
  return {.work = {.flops = kFlops * static_cast<double>(shape.element_count()),
                   .read_bytes = 2 * bytes_of(*x),
                   .write_bytes = bytes_of(*dx)},
          .run = [&c, x, dy, dx] { gelu_grad(c, {.x = *x, .dy = *dy, .dx = *dx}); },
          .fault =
              [x, dy, dx] {
                return fault_of(*dx, reference::gelu_grad(x->values(), dy->values()), 5e-7);
              }};
}

const Registrar kGelu([] {
  for (const auto& [name, shape] : activations()) {
    add_case("gelu", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return gelu_case(c, with_count(s, n)); });
    add_case("gelu_grad", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return gelu_grad_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
