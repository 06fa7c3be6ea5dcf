#include "bench/kernels/verify.h"
#include "kernels/include/accumulate.h"
#include "tests/reference/accumulate.h"

namespace kiln::bench {
namespace {

Case accumulate_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1), y = shared_random(shape, 2);
  const auto before = shared_random(shape, 2);
  return {.work = {.read_bytes = 2 * bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { accumulate(c, {.x = *x, .y = *y}); },
          .fault =
              [x, y, before] {
                return fault_of(*y, reference::accumulate(x->values(), before->values()), 6e-8);
              }};
}

const Registrar kAccumulate([] {
  for (const auto& [name, shape] : activations()) {
    add_case("accumulate", name, shape[0], [s = shape](Context& c, std::int64_t n) {
      return accumulate_case(c, with_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
