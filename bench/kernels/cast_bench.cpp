#include "bench/kernels/verify.h"
#include "kernels/include/cast.h"
#include "tests/reference/cast.h"

namespace kiln::bench {
namespace {

Case cast_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1, -1, 1, DType::f32);
  const DType to = is_16_bit(element_type()) ? element_type() : DType::f64;
  const auto y = std::make_shared<test::OwnedTensor>(shape, to);
  return {.work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y)},
          .run = [&c, x, y] { cast(c, {.x = *x, .y = *y}); },
          .fault = [x, y, to] { return fault_of(*y, reference::cast(x->values(), to), 0); }};
}

const Registrar kCast([] {
  for (const auto& [name, shape] : activations()) {
    add_case("cast", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return cast_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
