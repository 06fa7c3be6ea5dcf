#include "engine/data/augment.h"

#include <array>
#include <gtest/gtest.h>
#include <map>
#include <tuple>

#include "tests/data/support.h"

namespace kiln {
namespace {

using Flip = Augmentation::Flip;
using Padding = Augmentation::Padding;

std::vector<std::uint8_t> numbered(const ImageExtents& e) {
  std::vector<std::uint8_t> image(static_cast<std::size_t>(e.height * e.width * e.channels));
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::uint8_t>(i * 37 + 11);
  return image;
}

int mirror(int at, int extent) {
  while (at < 0 || at >= extent) at = at < 0 ? -at : 2 * (extent - 1) - at;
  return at;
}

// The rules, one pixel at a time.
std::uint8_t expected_pixel(const Augmentation& a, const ImageExtents& e, const AugmentDraw& d,
                            const std::vector<std::uint8_t>& in, int y, int x, int c) {
  const int top = d.cutout_row - a.cutout_side / 2, left = d.cutout_column - a.cutout_side / 2;
  if (a.cutout_side > 0 && y >= top && y < top + a.cutout_side && x >= left &&
      x < left + a.cutout_side)
    return a.cutout_fill[c];
  int from_y = y + d.row, from_x = (d.flip ? e.width - 1 - x : x) + d.column;
  const bool outside = from_y < 0 || from_y >= e.height || from_x < 0 || from_x >= e.width;
  if (outside && a.padding == Padding::zero) return 0;
  from_y = mirror(from_y, e.height);
  from_x = mirror(from_x, e.width);
  return in[static_cast<std::size_t>((from_y * e.width + from_x) * e.channels + c)];
}

void expect_exact(const Augmentation& a, const ImageExtents& e, const AugmentDraw& d) {
  const auto in = numbered(e);
  std::vector<std::uint8_t> out(in.size(), 0xEE);
  apply_augmentation(a, e, d, in.data(), out.data());
  for (int y = 0; y < e.height; ++y)
    for (int x = 0; x < e.width; ++x)
      for (int c = 0; c < e.channels; ++c)
        ASSERT_EQ(out[static_cast<std::size_t>((y * e.width + x) * e.channels + c)],
                  expected_pixel(a, e, d, in, y, x, c))
            << "row " << y << " column " << x << " offset " << d.row << "," << d.column;
}

TEST(Augment, EveryWindowFlipAndPaddingIsExact) {
  for (const ImageExtents& e : {ImageExtents{8, 8, 3}, ImageExtents{5, 7, 1}, {7, 5, 3}})
    for (const Padding padding : {Padding::zero, Padding::reflect})
      for (int row = -4; row <= 4; ++row)
        for (int column = -4; column <= 4; ++column)
          for (const bool flip : {false, true}) {
            const Augmentation a{.crop_padding = 4, .padding = padding, .flip = Flip::random};
            expect_exact(a, e, {.row = row, .column = column, .flip = flip});
          }
}

TEST(Augment, CutoutIsASquareCutAtTheBorders) {
  const ImageExtents e{9, 11, 3};
  for (const int side : {1, 4, 5, 9})
    for (int row = 0; row < e.height; ++row)
      for (int column = 0; column < e.width; ++column) {
        const Augmentation a{.cutout_side = side, .cutout_fill = {1, 2, 3}};
        expect_exact(a, e, {.cutout_row = row, .cutout_column = column});
      }
}

TEST(Augment, OffsetsAreUniformAndCoverTheWindow) {
  const Augmentation a{.crop_padding = 2, .flip = Flip::random, .cutout_side = 8};
  const ImageExtents e{32, 32, 3};
  constexpr int kDraws = 50'000;
  std::map<std::pair<int, int>, int> windows;
  int flips = 0;
  std::array<int, 32> centres{};
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const AugmentDraw d = draw_augmentation(a, e, 3, 1, i);
    ++windows[{d.row, d.column}];
    flips += d.flip ? 1 : 0;
    ++centres[static_cast<std::size_t>(d.cutout_row)];
  }
  ASSERT_EQ(windows.size(), 25u);
  // Six deviations of a binomial of p = 1/25, 1/2 and 1/32 over 50,000 draws.
  for (const auto& [window, count] : windows) EXPECT_NEAR(count, kDraws / 25, 263);
  EXPECT_NEAR(flips, kDraws / 2, 671);
  for (const int count : centres) EXPECT_NEAR(count, kDraws / 32, 234);
}

TEST(Augment, AlternatingFlipShowsBothSidesInTwoEpochs) {
  const Augmentation a{.flip = Flip::alternating};
  const ImageExtents e{32, 32, 3};
  int flipped_first = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const bool first = draw_augmentation(a, e, 5, 0, i).flip;
    flipped_first += first ? 1 : 0;
    for (std::uint32_t epoch = 1; epoch < 6; ++epoch)
      ASSERT_EQ(draw_augmentation(a, e, 5, epoch, i).flip, first != (epoch % 2 == 1));
  }
  EXPECT_NEAR(flipped_first, 2000, 190);
}

TEST(Augment, DrawsDependOnSeedAndEpoch) {
  const Augmentation a{.crop_padding = 4, .flip = Flip::random};
  const ImageExtents e{32, 32, 3};
  int same_epoch = 0, same_seed = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto key = [](const AugmentDraw& d) { return std::tuple(d.row, d.column, d.flip); };
    const auto d = key(draw_augmentation(a, e, 1, 0, i));
    same_epoch += d == key(draw_augmentation(a, e, 1, 1, i)) ? 1 : 0;
    same_seed += d == key(draw_augmentation(a, e, 2, 0, i)) ? 1 : 0;
  }
  EXPECT_LT(same_epoch, 40);  // 1000 / 162 are expected to agree by chance
  EXPECT_LT(same_seed, 40);
}

TEST(Augment, RefusesSettingsThatDoNotFit) {
  test::expect_error([] { check_augmentation({.crop_padding = 8}, {8, 8, 3}); }, {"crop", "8x8"});
  test::expect_error([] { check_augmentation({.crop_padding = -1}, {8, 8, 3}); }, {"crop"});
  test::expect_error([] { check_augmentation({.cutout_side = 9}, {8, 8, 3}); }, {"cutout"});
  EXPECT_NO_THROW(check_augmentation({.crop_padding = 7, .cutout_side = 8}, {8, 8, 3}));
}

}  // namespace
}  // namespace kiln
