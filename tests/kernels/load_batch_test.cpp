#include "kernels/include/load_batch.h"

#include <gtest/gtest.h>

#include "tests/reference/load_batch.h"
#include "tests/reference/normalize_image.h"
#include "tests/support/check_op.h"
#include "tests/support/device_values.h"

namespace kiln::test {
namespace {

constexpr std::array<double, 4> kMean{0.4914, 0.4822, 0.4465, 0.5};
constexpr std::array<double, 4> kInvStd{1 / 0.2470, 1 / 0.2435, 1 / 0.2616, 2};
constexpr std::int64_t kSamples = 11, kBatch = 4;
constexpr std::uint64_t kSeed = 0x1234567890;

struct Setting {
  Shape picture;
  reference::Changes changes;
  std::uint32_t epoch = 0;
  NormalizeMode mode = NormalizeMode::constant;
  std::uint64_t batch = 1;
  std::int64_t count = kBatch;
};

Augmentation augmentation_of(const reference::Changes& r) {
  using Flip = Augmentation::Flip;
  return {.crop_padding = r.padding,
          .padding = r.reflect ? Augmentation::Padding::reflect : Augmentation::Padding::zero,
          .flip = r.turn == reference::Turn::never       ? Flip::none
                  : r.turn == reference::Turn::by_chance ? Flip::random
                                                         : Flip::alternating,
          .cutout_side = r.square,
          .cutout_fill = {static_cast<std::uint8_t>(r.colour[0]),
                          static_cast<std::uint8_t>(r.colour[1]),
                          static_cast<std::uint8_t>(r.colour[2])}};
}

// A data set of random pictures, and what a batch of it should become.
struct Set {
  explicit Set(const Setting& s)
      : setting(s),
        all{kSamples, s.picture[0], s.picture[1], s.picture[2]},
        batch{s.count, s.picture[0], s.picture[1], s.picture[2]},
        pictures(random_integers(all, DType::u8, 1, 256)),
        labels(random_integers({kSamples}, DType::i32, 2, 10)),
        order({kSamples}, DType::i64) {
    for (std::int64_t i = 0; i < kSamples; ++i) order.set(i, static_cast<double>(7 * i % kSamples));
  }

  Results load(Context& c, DType dtype) const {
    Results results;
    results.emplace_back(batch, dtype);
    results.emplace_back(Shape{setting.count}, DType::i32);
    const DeviceValues<StepState> state(
        {StepState{.seed = kSeed, .batch = setting.batch, .epoch = setting.epoch}});
    load_batch(c, {.pictures = pictures,
                   .labels = labels,
                   .order = order,
                   .x = results[0],
                   .t = results[1],
                   .state = state.data(),
                   .batch_size = kBatch,
                   .augmentation = augmentation_of(setting.changes),
                   .mean = kMean,
                   .inv_std = kInvStd,
                   .mode = setting.mode});
    return results;
  }

  // The bytes of the batch, changed; and its labels.
  std::pair<Values, Values> wanted_bytes() const {
    const Values bytes = pictures.values(), classes = labels.values();
    const reference::PictureSize size{static_cast<int>(all[1]), static_cast<int>(all[2]),
                                      static_cast<int>(all[3])};
    const std::ptrdiff_t picture = all[1] * all[2] * all[3];
    std::pair<Values, Values> wanted;
    for (std::int64_t n = 0; n < setting.count; ++n) {
      const std::int64_t at = static_cast<std::int64_t>(setting.batch) * kBatch + n;
      const std::int64_t index = 7 * at % kSamples;
      const Values one(bytes.begin() + index * picture, bytes.begin() + (index + 1) * picture);
      const Values changed = reference::changed_picture(
          one, size, setting.changes, {kSeed, setting.epoch, static_cast<std::uint64_t>(index)});
      wanted.first.insert(wanted.first.end(), changed.begin(), changed.end());
      wanted.second.push_back(classes[static_cast<std::size_t>(index)]);
    }
    return wanted;
  }
  Values normalised(const Values& bytes) const {
    if (setting.mode == NormalizeMode::per_image)
      return reference::normalize_per_image(bytes, static_cast<std::size_t>(setting.count));
    const auto channels = static_cast<std::ptrdiff_t>(all[3]);
    return reference::normalize_constant(bytes, {kMean.begin(), kMean.begin() + channels},
                                         {kInvStd.begin(), kInvStd.begin() + channels});
  }

  Setting setting;
  Shape all, batch;
  OwnedTensor pictures, labels, order;
};

std::vector<Setting> settings() {
  using reference::Turn;
  return {{.picture = {1, 1, 1}, .changes = {}},
          {.picture = {5, 7, 3}, .changes = {}},
          {.picture = {5, 7, 3}, .changes = {.padding = 2}},
          {.picture = {5, 7, 3}, .changes = {.padding = 4, .reflect = true}, .epoch = 2},
          {.picture = {6, 5, 1}, .changes = {.turn = Turn::by_chance}, .epoch = 1},
          {.picture = {6, 5, 1}, .changes = {.turn = Turn::every_other_epoch}, .epoch = 1},
          {.picture = {6, 5, 1}, .changes = {.turn = Turn::every_other_epoch}, .epoch = 4},
          {.picture = {8, 8, 3}, .changes = {.square = 5, .colour = {1, 200, 30}}, .epoch = 3},
          {.picture = {9, 8, 3},
           .changes = {.padding = 3, .turn = Turn::by_chance, .square = 4, .colour = {9, 8, 7}},
           .epoch = 5},
          {.picture = {20, 21, 3}, .changes = {.padding = 3}, .mode = NormalizeMode::per_image},
          {.picture = {9, 8, 3}, .changes = {.padding = 3}, .batch = 2, .count = 3}};
}

TEST(LoadBatch, MatchesTheOracle) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(to_string(setting.picture) + " epoch " + std::to_string(setting.epoch));
    const Set set(setting);
    const auto [bytes, labels] = set.wanted_bytes();
    std::vector<Values> wanted{set.normalised(bytes), labels};
    check_op_in_all_types([&](Context& c, DType dtype) { return set.load(c, dtype); },
                          [&](DType) { return wanted; }, {2.4e-7, 1e-12});
  }
}

// What the loader's bytes and normalize_image give: the same bits.
TEST(LoadBatch, NormalisesLikeNormalizeImage) {
  if (test_device().is_host()) GTEST_SKIP() << "the CPU has its pictures from the loader";
  for (const NormalizeMode mode : {NormalizeMode::constant, NormalizeMode::per_image}) {
    const Set set({.picture = {8, 8, 3}, .changes = {.padding = 2}, .mode = mode});
    TestContext c;
    for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
      const OwnedTensor bytes(set.batch, DType::u8, set.wanted_bytes().first);
      const OwnedTensor wanted(set.batch, dtype);
      normalize_image(c,
                      {.x = bytes, .y = wanted, .mean = kMean, .inv_std = kInvStd, .mode = mode});
      EXPECT_TRUE(bitwise_equal(set.load(c, dtype)[0], wanted)) << name_of(dtype);
    }
  }
}

TEST(LoadBatch, BehindTheEndOfTheOrderNothingIsWritten) {
  TestContext c;
  const Set set({.picture = {2, 2, 1}, .changes = {}, .batch = 3});
  const OwnedTensor untouched(set.batch, DType::f32);
  EXPECT_TRUE(bitwise_equal(set.load(c, DType::f32)[0], untouched));
}

TEST(LoadBatch, RefusesWhatDoesNotFit) {
  TestContext c;
  const auto expect_refused = [&](const Setting& setting) {
    EXPECT_THROW(Set(setting).load(c, DType::f32), Error);
  };
  expect_refused({.picture = {4, 4, 1}, .changes = {.padding = 4}});
  expect_refused({.picture = {2, 2, 5}, .changes = {}});
  expect_refused({.picture = {2, 2, 4}, .changes = {.square = 1}});
  expect_refused({.picture = {2, 2, 1}, .changes = {}, .count = kBatch + 1});
}

}  // namespace
}  // namespace kiln::test
