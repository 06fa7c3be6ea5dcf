#include "bench/kernels/verify.h"
#include "kernels/include/step_advance.h"
#include "tests/reference/step_advance.h"
#include "tests/support/device_values.h"

namespace kiln::bench {
namespace {

// One update of 64 bytes: what calling an op costs.
Case advance_case(Context& c) {
  const auto state = std::make_shared<test::DeviceValues<StepState>>(std::vector<StepState>(1));
  const auto rates = std::make_shared<test::DeviceValues<StepRates>>(
      std::vector<StepRates>{{.learning_rate = 1}, {.learning_rate = 2}});
  return {.work = {.read_bytes = sizeof(StepState), .write_bytes = sizeof(StepState)},
          .run =
              [&c, state, rates] {
                step_advance(c, {.state = state->data(), .table = rates->data(), .count = 2});
              },
          .fault =
              [state] {
                const StepState got = state->get()[0];
                const reference::StepPlace wanted = reference::step_place(0, 0, got.step, {1, 2});
                const bool right =
                    got.batch == wanted.batch && got.rates.learning_rate == wanted.rate;
                return std::string(right ? "" : "the counters differ");
              }};
}

const Registrar kAdvance([] {
  add_case(
      "step_advance", "state", 1, [](Context& c, std::int64_t) { return advance_case(c); }, 1);
});

}  // namespace
}  // namespace kiln::bench
