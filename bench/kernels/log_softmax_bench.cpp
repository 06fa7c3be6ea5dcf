#include "bench/kernels/verify.h"
#include "kernels/include/log_softmax.h"
#include "kernels/include/log_softmax_grad.h"
#include "tests/reference/log_softmax.h"

namespace kiln::bench {
namespace {

std::vector<Named<Shape>> scores() {
  return {{"classes10/n4", {4, 10}},
          {"classes10/n64", {64, 10}},
          {"classes10/n512", {512, 10}},
          {"classes1000/n512", {512, 1000}}};
}

std::size_t classes_of(const OwnedTensor& x) { return static_cast<std::size_t>(x.shape()[1]); }

Case log_softmax_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1, -5, 5);
  const auto y = shared_output(shape);
  return {.work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { log_softmax(c, {.x = *x, .y = *y}); },
          .fault =
              [x, y] {
                return fault_of(*y, reference::log_softmax(x->values(), classes_of(*x)), 5e-7);
              }};
}

Case log_softmax_grad_case(Context& c, const Shape& shape) {
  const auto y = shared_random(shape, 1, -5, 0), dy = shared_random(shape, 2);
  const auto dx = shared_output(shape);
  return {.work = {.read_bytes = 2 * bytes_of(*y), .write_bytes = bytes_of(*dx)},
          .run = [&c, y, dy, dx] { log_softmax_grad(c, {.y = *y, .dy = *dy, .dx = *dx}); },
          .fault =
              [y, dy, dx] {
                return fault_of(
                    *dx, reference::log_softmax_grad(y->values(), dy->values(), classes_of(*y)),
                    1e-6);
              }};
}

const Registrar kLogSoftmax([] {
  for (const auto& [name, shape] : scores()) {
    add_case("log_softmax", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return log_softmax_case(c, with_count(s, n));
    });
    add_case("log_softmax_grad", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return log_softmax_grad_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
