#include "bench/kernels/verify.h"
#include "kernels/include/linear.h"
#include "tests/reference/linear.h"

namespace kiln::bench {
namespace {

Case linear_case(Context& c, const LinearShape& s) {
  const auto x = shared_random({s.n, s.in}, 1), w = shared_random({s.out, s.in}, 2);
  const auto bias = shared_random({s.out}, 3), y = shared_output({s.n, s.out});
  const auto scratch = shared_output(
      {static_cast<std::int64_t>(linear_scratch_bytes(c, s.n, s.in, s.out, element_type()))},
      DType::u8);
  return {.work = {.flops = 2.0 * static_cast<double>(s.n * s.in * s.out),
                   .read_bytes = bytes_of(*x) + bytes_of(*w),
                   .write_bytes = bytes_of(*y)},
          .run =
              [=, &c] {
                linear(c, {.x = *x,
                           .w = *w,
                           .bias = *bias,
                           .y = *y,
                           .activation = Activation::relu,
                           .scratch = static_cast<std::byte*>(scratch->view().raw())});
              },
          .fault =
              [=] {
                return fault_of(*y,
                                reference::linear(s.n, s.in, s.out, x->values(), w->values(),
                                                  bias->values(), Activation::relu),
                                1e-5);
              }};
}

const Registrar kLinear([] {
  for (const auto& [name, shape] : linears())
    add_case("linear", name, shape.n, [s = shape](Context& c, std::int64_t n) {
      return linear_case(c, {n, s.in, s.out});
    });
});

}  // namespace
}  // namespace kiln::bench
