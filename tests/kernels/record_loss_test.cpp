#include "kernels/include/record_loss.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "tests/reference/record_loss.h"
#include "tests/support/check_op.h"
#include "tests/support/device_values.h"

namespace kiln::test {
namespace {

constexpr StepLoss kUntouched{.step = 99, .loss_sum = -1, .hit_count = -1};

struct Recorder {
  explicit Recorder(const StepState& at) : state({at}) {}

  void record(Context& c, const OwnedTensor& loss, const OwnedTensor& hit) const {
    record_loss(
        c,
        {.loss = loss, .hit = hit, .state = state.data(), .log = log.data(), .log_size = kEntries});
  }
  StepLoss entry(std::uint64_t step) const { return log.get()[step % kEntries]; }
  bool halted() const { return state.get()[0].halted != 0; }

  static constexpr std::int64_t kEntries = 3;
  DeviceValues<StepState> state;
  DeviceValues<StepLoss> log{{kUntouched, kUntouched, kUntouched}};
};

TEST(RecordLoss, MatchesTheOracle) {
  for (const std::int64_t count : {1, 2, 31, 32, 33, 64, 1000})
    for (const DType dtype : {DType::f32, DType::f64}) {
      TestContext c;
      const OwnedTensor loss = random_tensor({count}, dtype, 1, 0, 5);
      const OwnedTensor hit = random_integers({count}, DType::i32, 2, 2);
      const Recorder recorder({.step = 7});
      recorder.record(c, loss, hit);
      const reference::Scored wanted = reference::record_loss(loss.values(), hit.values());
      const StepLoss got = recorder.entry(7);
      EXPECT_EQ(got.step, 7u);
      EXPECT_NEAR(got.loss_sum, wanted.loss_sum, 1e-15 * wanted.loss_sum * std::sqrt(count));
      EXPECT_EQ(got.hit_count, wanted.hit_count);
      EXPECT_EQ(recorder.entry(8).step, kUntouched.step);
      EXPECT_FALSE(recorder.halted());
      const Recorder again({.step = 7});
      again.record(c, loss, hit);
      EXPECT_EQ(again.entry(7).loss_sum, got.loss_sum);
    }
}

TEST(RecordLoss, ALossThatIsNotFiniteHaltsAndStaysTheLastOne) {
  for (const double wrong :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    TestContext c;
    OwnedTensor loss = random_tensor({40}, DType::f32, 1, 0, 5);
    const OwnedTensor hit = random_integers({40}, DType::i32, 2, 2);
    const double sound = loss.at(37);
    loss.set(37, wrong);
    const Recorder recorder({.step = 4});
    recorder.record(c, loss, hit);
    EXPECT_TRUE(recorder.halted());
    EXPECT_FALSE(std::isfinite(recorder.entry(4).loss_sum));
    loss.set(37, sound);
    recorder.record(c, loss, hit);
    EXPECT_TRUE(recorder.halted());
    EXPECT_FALSE(std::isfinite(recorder.entry(4).loss_sum));
  }
}

TEST(RecordLoss, RefusesWhatDoesNotFit) {
  TestContext c;
  const OwnedTensor loss({4}, DType::f32), hit({5}, DType::i32), fit({4}, DType::i32);
  const Recorder recorder({});
  EXPECT_THROW(recorder.record(c, loss, hit), Error);
  EXPECT_THROW(record_loss(c, {.loss = loss, .hit = fit}), Error);
}

}  // namespace
}  // namespace kiln::test
