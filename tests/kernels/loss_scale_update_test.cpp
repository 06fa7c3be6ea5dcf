#include "kernels/include/loss_scale_update.h"

#include <gtest/gtest.h>

#include "engine/core/rng.h"
#include "tests/reference/loss_scale_update.h"
#include "tests/support/compare.h"

namespace kiln::test {
namespace {

Values state_of(const reference::LossScale& of, double found) {
  return {of.scale, static_cast<double>(of.good), found, static_cast<double>(of.skipped)};
}

// Long runs in which one step in `rarity` overflows: down to the smallest scale, up to the largest.
TEST(LossScaleUpdate, FollowsTheOracleThroughLongRuns) {
  TestContext c;
  for (const std::uint32_t rarity : {2u, 5u, 1000u})
    for (const int interval : {1, 3, 7}) {
      RandomSequence numbers(rarity, RandomStream::synthesise, 0);
      reference::LossScale wanted;
      OwnedTensor state({kLossScaleSize}, DType::f32, state_of(wanted, 0));
      double lowest = wanted.scale, highest = wanted.scale;
      for (int step = 0; step < 200; ++step) {
        const bool found = numbers.next_below(rarity) == 0;
        if (found) state.set(kFoundNonfinite, 1);
        loss_scale_update(c, {.state = state, .growth_interval = interval});
        wanted.update(found, interval);
        ASSERT_TRUE(elementwise_close_to(state, state_of(wanted, 0), 0)) << step;
        lowest = std::min(lowest, wanted.scale);
        highest = std::max(highest, wanted.scale);
      }
      if (rarity == 2 && interval == 7) {
        EXPECT_EQ(lowest, 1);
      }
      if (rarity == 1000 && interval == 1) {
        EXPECT_EQ(highest, 16777216);
      }
    }
}

TEST(LossScaleUpdate, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor state({kLossScaleSize}, DType::f32, {1, 0, 0, 0}), three({3}, DType::f32);
  EXPECT_THROW(loss_scale_update(c, {.state = three}), Error);
  EXPECT_THROW(loss_scale_update(c, {.state = state, .growth_interval = 0}), Error);
}

}  // namespace
}  // namespace kiln::test
