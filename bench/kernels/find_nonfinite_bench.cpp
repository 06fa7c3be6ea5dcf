#include "bench/kernels/verify.h"
#include "kernels/include/find_nonfinite.h"
#include "tests/reference/find_nonfinite.h"

namespace kiln::bench {
namespace {

Case find_case(Context& c, const Shape& shape) {
  const auto x = shared_random(shape, 1);
  const auto flag = std::make_shared<test::OwnedTensor>(Shape{1}, DType::f32, Values{0});
  return {
      .work = {.read_bytes = bytes_of(*x)},
      .run = [&c, x, flag] { find_nonfinite(c, {.x = *x, .flag = *flag}); },
      .fault = [x,
                flag] { return fault_of(*flag, {reference::find_nonfinite(x->values(), 0)}, 0); }};
}

const Registrar kFind([] {
  for (const auto& [name, shape] : activations()) {
    add_case("find_nonfinite", name, shape[0],
             [s = shape](Context& c, std::int64_t n) { return find_case(c, with_count(s, n)); });
  }
});

}  // namespace
}  // namespace kiln::bench
