#include "bench/kernels/verify.h"
#include "kernels/include/loss_scale_update.h"
#include "tests/reference/loss_scale_update.h"

namespace kiln::bench {
namespace {

// One update of four numbers: what calling an op costs.
Case update_case(Context& c) {
  const auto state = std::make_shared<test::OwnedTensor>(
      Shape{kLossScaleSize}, DType::f32, Values{static_cast<double>(kFirstLossScale), 0, 0, 0});
  return {
      .work = {.read_bytes = bytes_of(*state), .write_bytes = bytes_of(*state)},
      .run = [&c, state] { loss_scale_update(c, {.state = *state, .growth_interval = 1 << 24}); },
      .fault =
          [state] {
            reference::LossScale wanted;
            wanted.update(false, 1 << 24);
            return fault_of(*state, {wanted.scale, static_cast<double>(wanted.good), 0, 0}, 0);
          }};
}

const Registrar kUpdate([] {
  add_case(
      "loss_scale_update", "state", 1, [](Context& c, std::int64_t) { return update_case(c); }, 1);
});

}  // namespace
}  // namespace kiln::bench
