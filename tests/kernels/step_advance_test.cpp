#include "kernels/include/step_advance.h"

#include <gtest/gtest.h>

#include "tests/reference/step_advance.h"
#include "tests/support/device_values.h"

namespace kiln::test {
namespace {

const std::vector<double> kRates{0.5, 0.25, 0.125, 0.0625};

std::vector<StepRates> table() {
  std::vector<StepRates> rows;
  for (const double rate : kRates)
    rows.push_back({.learning_rate = rate, .adam_scale = 2 * rate, .adam_root = 3 * rate});
  return rows;
}

TEST(StepAdvance, FollowsTheOracleThroughAnEpoch) {
  TestContext c;
  const DeviceValues<StepRates> rates(table());
  for (const std::uint64_t begin : {0u, 2u}) {
    const StepState first{
        .seed = 5, .step = 100, .batch = begin, .epoch = 3, .rates = table()[begin]};
    const DeviceValues<StepState> state({first});
    for (std::uint64_t done = 1; begin + done <= kRates.size(); ++done) {
      step_advance(c, {.state = state.data(), .table = rates.data(), .count = 4});
      const StepState got = state.get()[0];
      const reference::StepPlace wanted = reference::step_place(100, begin, done, kRates);
      EXPECT_EQ(got.step, wanted.step);
      EXPECT_EQ(got.batch, wanted.batch);
      EXPECT_EQ(got.rates.learning_rate, wanted.rate);
      EXPECT_EQ(got.rates.adam_scale, 2 * wanted.rate);
      EXPECT_EQ(got.rates.adam_root, 3 * wanted.rate);
      EXPECT_EQ(got.seed, 5u);
      EXPECT_EQ(got.epoch, 3u);
    }
  }
}

TEST(StepAdvance, AHaltedStateStandsStill) {
  TestContext c;
  const DeviceValues<StepRates> rates(table());
  const DeviceValues<StepState> state({StepState{.step = 9, .batch = 1, .halted = 1}});
  step_advance(c, {.state = state.data(), .table = rates.data(), .count = 4});
  EXPECT_EQ(state.get()[0].step, 9u);
  EXPECT_EQ(state.get()[0].batch, 1u);
  EXPECT_EQ(state.get()[0].rates.learning_rate, 0);
}

TEST(StepAdvance, RefusesWhatDoesNotFit) {
  TestContext c;
  const DeviceValues<StepState> state({StepState{}});
  EXPECT_THROW(step_advance(c, {.state = state.data()}), Error);
}

}  // namespace
}  // namespace kiln::test
