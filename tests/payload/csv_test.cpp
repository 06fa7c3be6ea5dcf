#include <gtest/gtest.h>

#include "tests/payload/support.h"

namespace kiln::payload {
namespace {

constexpr PictureShape kRow{.height = 1, .width = 3, .channels = 1};
constexpr PictureShape kColour{.height = 1, .width = 2, .channels = 3};

using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

Pictures decode(std::string_view body, const PictureShape& shape, const char* type = "text/csv") {
  return decode_pictures(body, type, shape);
}

TEST(Csv, IntegersArePixelsAndFractionsAreWhatTheNetworkSees) {
  const Pictures pixels = decode("0,128,255\n", kRow);
  EXPECT_EQ(pixels.count, 1);
  EXPECT_EQ(pixels.bytes, (Bytes{0, 128, 255}));
  EXPECT_TRUE(pixels.values.empty());
  const Pictures values = decode("-1,2.5,300\n1e2,0,-0.125", kRow);
  EXPECT_EQ(values.count, 2);
  EXPECT_EQ(values.values, (Floats{-1, 2.5f, 300, 100, 0, -0.125f}));
  EXPECT_TRUE(values.bytes.empty());
  // One fraction in the last line makes numbers of all the others.
  EXPECT_EQ(decode("1,2,3\n4,5,6.0", kRow).values, (Floats{1, 2, 3, 4, 5, 6}));
}

TEST(Csv, TheParameterSaysWhatNumbersAre) {
  EXPECT_EQ(decode("-1,2,300", kRow, "text/csv; values=network").values, (Floats{-1, 2, 300}));
  // To the nearest, halves to the even one.
  EXPECT_EQ(decode("0.5,1.5,254.6", kRow, "text/csv; values=pixels").bytes, (Bytes{0, 2, 255}));
  test::expect_refused("1,2,255.1", "text/csv; values=pixels", kRow, 400, {"line 1, column 3"});
}

TEST(Csv, ChannelsAreFlattenedFirst) {
  EXPECT_EQ(decode("1,2,10,20,100,200", kColour).bytes, (Bytes{1, 10, 100, 2, 20, 200}));
  EXPECT_EQ(decode("1.0,2,3,4,5,6\n7,8,9,10,11,12\n", kColour).values,
            (Floats{1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12}));
}

TEST(Csv, LinesEndInManyWays) {
  for (const char* body : {"1,2,3\n4,5,6\n", "1,2,3\n4,5,6", "1,2,3\r\n4,5,6\r\n", "1,2,3\r\n4,5,6",
                           " 1 , 2\t,3 \n4,5,  6 ", "001,2,3\n4,5,0006\r"})
    EXPECT_EQ(decode(body, kRow).bytes, (Bytes{1, 2, 3, 4, 5, 6})) << body;
}

TEST(Csv, SmallNumbersBecomeZeroOrSubnormal) {
  EXPECT_EQ(decode("1e-60,-1e-60,1e-45", kRow).values, (Floats{0, -0.0f, 1e-45f}));
}

TEST(Csv, HostileBodiesAreRefused) {
  const std::string deep(100'000, '1');
  const struct {
    std::string body;
    const char* part;
  } table[] = {
      {"", "holds no picture"},
      {"\n", "line 1, column 1 is no number"},
      {"\r\n", "line 1, column 1 is no number"},
      {",", "line 1, column 1 is no number"},
      {"1,2,3\n\n", "line 2, column 1 is no number"},
      {"1,2\n", "line 1 ends after column 2; write one picture a line, 3 numbers"},
      {"1,2,3\n4,5", "line 2 ends after column 2"},
      {"1,2,3,4\n", "line 1 goes on after column 3"},
      {"1,2,3,\n", "line 1 goes on after column 3"},
      {"1,,3\n", "line 1, column 2 is no number"},
      {"1,2,\n", "line 1, column 3 is no number"},
      {"1;2;3\n", "line 1, column 1 is no number"},
      {"1 2 3\n", "line 1 ends after column 1"},
      {"1,2,3 4\n", "line 1, column 3 is followed by something else"},
      {"1,2,3\r4,5,6", "line 1, column 3 is followed by something else"},
      {"#1,2,3\n", "line 1, column 1 is no number"},
      {"\"1\",2,3\n", "line 1, column 1 is no number"},
      {"+1,2,3\n", "line 1, column 1 is no number"},
      {"0x10,2,3\n", "line 1, column 1 is no number"},
      {"a,b,c\n1,2,3\n", "line 1, column 1 is no number"},
      {"1,2,3\n1,2,256\n", "line 2, column 3 is no pixel"},
      {"1,-1,3\n", "line 1, column 2 is no pixel from 0 to 255; write a fraction"},
      {"1,99999,3\n", "line 1, column 2 is no pixel"},
      {"1," + deep + ",3\n", "line 1, column 2 is"},
      {"1,nan,3\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,nan,3\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,2,-inf\n", "line 1, column 3 is NaN, infinite or beyond"},
      {"1.0,infinity,2\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,nan(1),2\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,1e39,2\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,1e999,2\n", "line 1, column 2 is NaN, infinite or beyond"},
      {"1.0,1.5.5,2\n", "line 1, column 2 is no number"},
      {"1.0,1e,2\n", "line 1, column 2 is no number"},
      {"1.0,.,2\n", "line 1, column 2 is no number"},
      {"\xEF\xBB\xBF"
       "1,2,3\n",
       "line 1, column 1 is no number"},
      {std::string("1,2\0,3\n", 7), "line 1, column 2 is no number"},
  };
  for (const auto& [body, part] : table)
    test::expect_refused(body, "text/csv", kRow, 400, {"csv: ", part});
}

TEST(Csv, TheCountIsLimited) {
  test::expect_refused("1,2,3\n4,5,6\n7,8,9", "text/csv", kRow, 413, {"more than 2 pictures"},
                       {.picture_count = 2});
  EXPECT_EQ(decode_pictures("1,2,3\n4,5,6\n", "text/csv", kRow, {.picture_count = 2}).count, 2);
}

}  // namespace
}  // namespace kiln::payload
