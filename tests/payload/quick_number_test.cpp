#include "engine/payload/quick_number.h"

#include <charconv>
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <string>

namespace kiln::payload::detail {
namespace {

// Enough bytes behind a number for a quick reader.
std::string padded(const std::string& text) { return text + std::string(48, ','); }

TEST(QuickNumber, PixelsHaveOneToThreeDigits) {
  for (int value = 0; value < 1100; ++value) {
    const std::string text = std::to_string(value), body = padded(text);
    std::uint8_t pixel = 0;
    const char* const end = read_quick(body.data(), pixel);
    ASSERT_EQ(end != nullptr, value <= 255) << value;
    if (value > 255) continue;
    EXPECT_EQ(pixel, value);
    EXPECT_EQ(end, body.data() + text.size());
  }
  std::uint8_t pixel = 0;
  for (const char* text : {"", "-1", "x", "/1", ":1", " 1", "0000", "\xB1"})
    EXPECT_EQ(read_quick(padded(text).data(), pixel), nullptr) << text;
}

// Whether the quick reader took it; then it agrees with the standard library.
bool agrees_or_declines(const std::string& text) {
  const std::string body = padded(text);
  float quick = 0, expected = 0;
  const char* const end = read_quick(body.data(), quick);
  if (end == nullptr) return false;
  EXPECT_EQ(end, body.data() + text.size()) << text;
  std::from_chars(body.data(), end, expected);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(quick), std::bit_cast<std::uint32_t>(expected)) << text;
  return true;
}

TEST(QuickNumber, FloatsOfManyLengthsAreThoseOfTheStandardLibrary) {
  for (const char* text :
       {"0.0", "-0.0", "1.0", "-2.5", "0.10000000149011612", "99999999.5", "12345678.12345678901",
        "0.999999999999999999", "9.999999999999999999", "00000001.5"})
    agrees_or_declines(text);
  for (const char* text : {"1.0", "-2.5", "0.10000000149011612", "-0.30000001192092896"})
    EXPECT_TRUE(agrees_or_declines(text)) << text;
  std::mt19937 draw(1);
  int taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string text = draw() % 2 == 0 ? "-" : "";
    for (unsigned d = 0; d <= draw() % 8; ++d) text += static_cast<char>('0' + draw() % 10);
    text += '.';
    for (unsigned d = 0; d < draw() % 20; ++d) text += static_cast<char>('0' + draw() % 10);
    taken += agrees_or_declines(text) ? 1 : 0;
  }
  EXPECT_GT(taken, 50'000);
}

// Decimals of the points half way between two floats, cut anywhere and one digit off.
TEST(QuickNumber, FloatsBesideHalfWayPointsAreThoseOfTheStandardLibrary) {
  std::mt19937 draw(2);
  for (int i = 0; i < 100'000; ++i) {
    const auto low = std::bit_cast<float>(
        static_cast<std::uint32_t>((draw() % 12 + 120) << 23 | (draw() & 0x7FFFFFu)));
    const double half =
        (static_cast<double>(low) + static_cast<double>(std::nextafter(low, 1e30f))) / 2;
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", static_cast<int>(draw() % 19), half);
    std::string number(text);
    agrees_or_declines(number);
    if (number.back() != '9') ++number.back();
    agrees_or_declines(number);
  }
}

TEST(QuickNumber, FloatsOfOtherFormsAreLeftToOthers) {
  for (const char* text : {"", "-", ".5", "-.5", "1", "1.", "-1.", "+1.0", "nan", "inf", "1,5",
                           "123456789.0", "0.1234567890123456789", "--1.0", "0x1.0"})
    EXPECT_FALSE(agrees_or_declines(text)) << text;
}

}  // namespace
}  // namespace kiln::payload::detail
