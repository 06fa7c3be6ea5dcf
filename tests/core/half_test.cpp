// The 16-bit types are checked by all their values: each survives the way through f32, and every
// f32 around the middle of two neighbours goes to the nearer one, the middle itself to the even
// one.
#include "engine/core/half.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace kiln {
namespace {

// What both types are tested by.
template <class T>
T rounded(float value);
template <>
Float16 rounded(float value) {
  return to_float16(value);
}
template <>
BFloat16 rounded(float value) {
  return to_bfloat16(value);
}

template <class T>
class Half : public testing::Test {};
using HalfTypes = testing::Types<Float16, BFloat16>;
TYPED_TEST_SUITE(Half, HalfTypes);

TYPED_TEST(Half, EveryValueSurvivesTheWayThroughF32) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float wide = to_float(TypeParam{static_cast<std::uint16_t>(bits)});
    const TypeParam back = rounded<TypeParam>(wide);
    if (std::isnan(wide))
      ASSERT_TRUE(std::isnan(to_float(back))) << bits;
    else
      ASSERT_EQ(back.bits, bits);
  }
}

TYPED_TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Positive values in order of their bits, up to the largest finite one.
  for (std::uint32_t bits = 0; bits < 0x7FFF; ++bits) {
    const float low = to_float(TypeParam{static_cast<std::uint16_t>(bits)});
    const float high = to_float(TypeParam{static_cast<std::uint16_t>(bits + 1)});
    if (!std::isfinite(high)) break;
    const float middle = low + (high - low) / 2;  // exact: neighbours of few bits
    for (const float sign : {1.0f, -1.0f}) {
      const auto of = [&](float value) { return rounded<TypeParam>(sign * value).bits & 0x7FFFu; };
      ASSERT_EQ(of(middle), bits % 2 == 0 ? bits : bits + 1) << middle;
      ASSERT_EQ(of(std::nextafter(middle, 0.0f)), bits) << middle;
      ASSERT_EQ(of(std::nextafter(middle, high)), bits + 1) << middle;
    }
  }
}

TYPED_TEST(Half, LargeValuesBecomeInfinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_float(rounded<TypeParam>(infinity)), infinity);
  EXPECT_EQ(to_float(rounded<TypeParam>(-infinity)), -infinity);
  EXPECT_EQ(to_float(rounded<TypeParam>(std::numeric_limits<float>::max())), infinity);
}

TEST(Half, KnownValues) {
  EXPECT_EQ(to_float16(1.0f).bits, 0x3C00);
  EXPECT_EQ(to_float16(65504.0f).bits, 0x7BFF);
  EXPECT_EQ(to_float16(65519.996f).bits, 0x7BFF);
  EXPECT_EQ(to_float16(65520.0f).bits, 0x7C00);
  EXPECT_EQ(to_float16(0x1p-24f).bits, 0x0001);
  EXPECT_EQ(to_float16(0x1p-25f).bits, 0x0000);
  EXPECT_EQ(to_bfloat16(1.0f).bits, 0x3F80);
  EXPECT_EQ(to_bfloat16(3.14159274f).bits, 0x4049);
}

}  // namespace
}  // namespace kiln
