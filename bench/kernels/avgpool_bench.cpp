#include "bench/kernels/verify.h"
#include "kernels/include/avgpool.h"
#include "kernels/include/avgpool_grad.h"
#include "tests/reference/avgpool.h"

namespace kiln::bench {
namespace {

Pool2dShape of_count(Pool2dShape s, std::int64_t n) {
  s.n = n;
  return s;
}

Case avgpool_case(Context& c, const Pool2dShape& s) {
  const auto x = shared_random(s.input(), 1);
  const auto y = shared_output(s.output());
  return {
      .work = {.flops = static_cast<double>(s.output().element_count() * s.r * s.s),
               .read_bytes = bytes_of(*x),
               .write_bytes = bytes_of(*y)},
      .run = [&c, s, x, y] { avgpool(c, {.shape = s, .x = *x, .y = *y}); },
      .fault = [s, x, y] { return fault_of(*y, reference::avgpool(s, x->values(), true), 1e-6); }};
}

Case avgpool_grad_case(Context& c, const Pool2dShape& s) {
  const auto dy = shared_random(s.output(), 2);
  const auto dx = shared_output(s.input());
  return {.work = {.flops = static_cast<double>(s.input().element_count()),
                   .read_bytes = bytes_of(*dy),
                   .write_bytes = bytes_of(*dx)},
          .run = [&c, s, dy, dx] { avgpool_grad(c, {.shape = s, .dy = *dy, .dx = *dx}); },
          .fault =
              [s, dy, dx] {
                return fault_of(*dx, reference::avgpool_grad(s, dy->values(), true), 1e-6);
              }};
}

const Registrar kAvgpool([] {
  for (const auto& [name, shape] : average_poolings()) {
    add_case("avgpool", name, shape.n,
             [s = shape](Context& c, std::int64_t n) { return avgpool_case(c, of_count(s, n)); });
    add_case("avgpool_grad", name, shape.n, [s = shape](Context& c, std::int64_t n) {
      return avgpool_grad_case(c, of_count(s, n));
    });
  }
});

}  // namespace
}  // namespace kiln::bench
