#include "bench/kernels/verify.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/maxpool_grad.h"
#include "tests/reference/maxpool.h"

namespace kiln::bench {
namespace {

Pool2dShape of_count(Pool2dShape s, std::int64_t n) {
  s.n = n;
  return s;
}

Case maxpool_case(Context& c, const Pool2dShape& s) {
  const auto x = shared_random(s.input(), 1);
  const auto y = shared_output(s.output()), index = shared_output(s.output(), DType::u8);
  return {
      .work = {.read_bytes = bytes_of(*x), .write_bytes = bytes_of(*y) + bytes_of(*index)},
      .run = [&c, s, x, y, index] { maxpool(c, {.shape = s, .x = *x, .y = *y, .index = *index}); },
      .fault =
          [s, x, y, index] {
            const auto wanted = reference::maxpool(s, x->values());
            return fault_of(*y, wanted.y, 0) + fault_of(*index, wanted.index, 0);
          }};
}

Case maxpool_grad_case(Context& c, const Pool2dShape& s) {
  const auto index = shared_output(s.output(), DType::u8);
  {
    const auto x = shared_random(s.input(), 1);
    const auto y = shared_output(s.output());
    maxpool(c, {.shape = s, .x = *x, .y = *y, .index = *index});
  }
  const auto dy = shared_random(s.output(), 2);
  const auto dx = shared_output(s.input());
  return {.work = {.read_bytes = bytes_of(*dy) + bytes_of(*index), .write_bytes = bytes_of(*dx)},
          .run = [&c, s, index, dy,
                  dx] { maxpool_grad(c, {.shape = s, .index = *index, .dy = *dy, .dx = *dx}); },
          .fault =
              [s, index, dy, dx] {
                return fault_of(*dx, reference::maxpool_grad(s, index->values(), dy->values()),
                                5e-7);
              }};
}

const Registrar kMaxpool([] {
  for (const auto& [name, shape] : max_poolings()) {
    add_case("maxpool", name, shape.n,
             [s = shape](Context& c, std::int64_t n) { return maxpool_case(c, of_count(s, n)); });
    add_case("maxpool_grad", name, shape.n, [s = shape](Context& c, std::int64_t n) {
      return maxpool_grad_case(c, of_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
