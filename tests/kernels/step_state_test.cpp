// Ops that read the numbers of a step from the device's memory: the same bits as with the numbers
// in their arguments, and nothing once the state is halted.
#include "kernels/include/step_state.h"

#include <gtest/gtest.h>

#include "kernels/include/adadelta_step.h"
#include "kernels/include/adam_step.h"
#include "kernels/include/dropout.h"
#include "kernels/include/dropout_grad.h"
#include "kernels/include/sgd_step.h"
#include "tests/support/check_op.h"
#include "tests/support/device_values.h"

namespace kiln::test {
namespace {

constexpr double kRate = 0.0123;

StepState state_of_step(std::uint64_t step) {
  return {.seed = 0x123456789AB,
          .step = step,
          .epoch = 3,
          .rates = step_rates(kRate, 0.9, 0.999, static_cast<std::int64_t>(step) + 1)};
}

// run(Context&, state, results): an op that changes `results`, with its scalars of step `step`
// where `state` is null.
template <class Run>
void expect_same_bits(const Run& run) {
  TestContext c;
  for (const std::uint64_t step : {0u, 1u, 41u})
    for (const DType dtype : {DType::f32, DType::f64}) {
      const auto inputs = [&] {
        Results results;
        for (const std::uint64_t seed : {1u, 2u, 3u})
          results.push_back(random_tensor({67}, dtype, seed, 0, 1));
        return results;
      };
      const Results before = inputs(), by_scalars = inputs(), by_state = inputs(), left = inputs();
      run(c.get(), step, nullptr, by_scalars);
      StepState at = state_of_step(step);
      const DeviceValues<StepState> state({at});
      run(c.get(), step + 5, state.data(), by_state);  // scalars that must not be read
      expect_bitwise_equal(by_scalars, by_state, "step " + std::to_string(step));
      EXPECT_FALSE(bitwise_equal(by_state[0], before[0]));
      at.halted = 1;
      const DeviceValues<StepState> halted({at});
      run(c.get(), step, halted.data(), left);
      expect_bitwise_equal(left, before, "halted");
    }
}

class StepStateOps : public testing::Test {
 protected:
  void SetUp() override {
    if (test_device().is_host()) GTEST_SKIP() << "the CPU has its numbers in the arguments";
  }
  const OwnedTensor gradient32 = random_tensor({67}, DType::f32, 9);
  const OwnedTensor gradient64 = random_tensor({67}, DType::f64, 9);
  const OwnedTensor& gradient(const Results& r) const {
    return r[0].dtype() == DType::f32 ? gradient32 : gradient64;
  }
};

TEST_F(StepStateOps, Sgd) {
  expect_same_bits([&](Context& c, std::uint64_t step, const StepState* state, const Results& r) {
    sgd_step(c, {.w = r[0],
                 .grad = gradient(r),
                 .momentum_buffer = r[1],
                 .lr = state == nullptr ? kRate : 1e9,
                 .momentum = 0.9,
                 .weight_decay = 1e-3,
                 .first_step = step == 0,
                 .state = state});
  });
}

TEST_F(StepStateOps, Adadelta) {
  expect_same_bits([&](Context& c, std::uint64_t, const StepState* state, const Results& r) {
    adadelta_step(c, {.w = r[0],
                      .grad = gradient(r),
                      .square_avg = r[1],
                      .acc_delta = r[2],
                      .lr = state == nullptr ? kRate : 1e9,
                      .state = state});
  });
}

TEST_F(StepStateOps, AdamAndAdamW) {
  for (const bool decoupled : {false, true})
    expect_same_bits([&](Context& c, std::uint64_t step, const StepState* state, const Results& r) {
      adam_step(c, {.w = r[0],
                    .grad = gradient(r),
                    .exp_avg = r[1],
                    .exp_avg_sq = r[2],
                    .lr = state == nullptr ? kRate : 1e9,
                    .weight_decay = 1e-2,
                    .decoupled = decoupled,
                    .step = static_cast<std::int64_t>(step) + 1,
                    .state = state});
    });
}

TEST_F(StepStateOps, DropoutAndItsGradient) {
  TestContext c;
  const StepState at = state_of_step(17);
  const DeviceValues<StepState> state({at});
  const OwnedTensor x = random_tensor({4, 3, 3, 8}, DType::f32, 1);
  for (const bool channel : {false, true}) {
    OwnedTensor results[4] = {{x.shape(), DType::f32},
                              {x.shape(), DType::f32},
                              {x.shape(), DType::f32},
                              {x.shape(), DType::f32}};
    DropoutArgs forward{.x = x, .y = results[0], .channel = channel, .layer_id = 3};
    DropoutGradArgs backward{.dy = x, .dx = results[1], .channel = channel, .layer_id = 3};
    forward.state = backward.state = state.data();
    dropout(c, forward);
    dropout_grad(c, backward);
    forward.y = results[2];
    backward.dx = results[3];
    forward.state = backward.state = nullptr;
    forward.seed = backward.seed = at.seed;
    forward.epoch = backward.epoch = at.epoch;
    forward.step = backward.step = at.step;
    dropout(c, forward);
    dropout_grad(c, backward);
    EXPECT_TRUE(bitwise_equal(results[0], results[2]));
    EXPECT_TRUE(bitwise_equal(results[1], results[3]));
  }
}

TEST(StepStateOnTheCpu, IsRefused) {
  KILN_CPU_ONLY("other devices read a state");
  TestContext c;
  const StepState state;
  const OwnedTensor w({3}, DType::f32), grad({3}, DType::f32), y({3}, DType::f32);
  EXPECT_THROW(sgd_step(c, {.w = w, .grad = grad, .state = &state}), Error);
  EXPECT_THROW(dropout(c, {.x = w, .y = y, .state = &state}), Error);
}

}  // namespace
}  // namespace kiln::test
