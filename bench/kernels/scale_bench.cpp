#include "bench/kernels/verify.h"
#include "kernels/include/scale.h"
#include "tests/reference/scale.h"

namespace kiln::bench {
namespace {

Case scale_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1);
  const auto y = shared_output(shape);
  return {.work = {.flops = static_cast<double>(shape.element_count()),
                   .read_bytes = bytes_of(*x),
                   .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { scale(c, {.x = *x, .y = *y, .factor = 0.125}); },
          .fault = [x, y] { return fault_of(*y, reference::scale(x->values(), 0.125), 6e-8); }};
}

const Registrar kScale([] {
  for (const auto& [name, shape] : activations())
    add_case("scale", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return scale_case(c, with_count(s, n)); });
});

}  // namespace
}  // namespace kiln::bench
