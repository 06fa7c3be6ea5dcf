#include "engine/report/png.h"

#include <cmath>
#include <gtest/gtest.h>
#include <png.h>

#include "engine/core/rng.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

// libpng decodes what stb encoded.
Picture decode(std::string_view file, int channel_count) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
  image.format = channel_count == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Picture out{.height = static_cast<int>(image.height),
              .width = static_cast<int>(image.width),
              .channel_count = channel_count,
              .pixels = std::vector<std::uint8_t>(PNG_IMAGE_SIZE(image))};
  EXPECT_NE(png_image_finish_read(&image, nullptr, out.pixels.data(), 0, nullptr), 0);
  return out;
}

Picture noise(int height, int width, int channel_count) {
  Picture picture{height, width, channel_count, {}};
  RandomSequence random(3, RandomStream::synthesise, 0);
  for (int i = 0; i < height * width * channel_count; ++i)
    picture.pixels.push_back(static_cast<std::uint8_t>(random.next_below(256)));
  return picture;
}

const std::uint8_t* pixel(const Picture& picture, int y, int x) {
  return picture.pixels.data() + (y * picture.width + x) * picture.channel_count;
}

class PngTest : public TempFolderTest {};

TEST_F(PngTest, RoundTripKeepsEveryPixel) {
  for (const int channels : {1, 3})
    for (const auto& [height, width] : {std::pair(1, 1), std::pair(7, 3), std::pair(32, 32)}) {
      const Picture picture = noise(height, width, channels);
      const Picture back = decode(encode_png(picture), channels);
      EXPECT_EQ(back.height, height);
      EXPECT_EQ(back.width, width);
      EXPECT_EQ(back.pixels, picture.pixels);
    }
}

TEST_F(PngTest, WritesAFile) {
  const Picture picture = noise(5, 4, 3);
  write_png(folder() / "a.png", picture);
  EXPECT_EQ(decode(read_text_file(folder() / "a.png", 10000), 3).pixels, picture.pixels);
}

TEST(Png, RefusesPicturesWhoseSizesDisagree) {
  EXPECT_THROW(encode_png({2, 2, 3, std::vector<std::uint8_t>(11)}), std::logic_error);
  EXPECT_THROW(encode_png({2, 2, 2, std::vector<std::uint8_t>(8)}), std::logic_error);
  EXPECT_THROW(encode_png({}), std::logic_error);
}

TEST(Base64, VectorsOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xfe\xfd"), "//79");
}

TEST(Enlarge, EveryPixelBecomesASquare) {
  const Picture small{1, 2, 3, {1, 2, 3, 4, 5, 6}};
  const Picture big = enlarge(small, 3);
  EXPECT_EQ(big.height, 3);
  EXPECT_EQ(big.width, 6);
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 6; ++x) EXPECT_EQ(pixel(big, y, x)[2], x < 3 ? 3 : 6);
}

TEST(Shrink, AveragesAndLeavesSmallPicturesAlone) {
  const Picture wide{2, 4, 1, {0, 10, 100, 200, 20, 30, 100, 201}};
  const Picture half = shrink(wide, 2);
  EXPECT_EQ(half.height, 1);
  EXPECT_EQ(half.width, 2);
  EXPECT_EQ(half.pixels, (std::vector<std::uint8_t>{15, 150}));
  EXPECT_EQ(shrink(wide, 4).pixels, wide.pixels);
  const Picture line = shrink(noise(1, 1000, 3), 48);  // an edge never vanishes
  EXPECT_EQ(line.height, 1);
  EXPECT_EQ(line.width, 48);
}

TEST(FilterSheet, ZeroIsGreyAndTheLargestWeightReachesTheEnd) {
  // Two 1x2 filters of three channels: the second is a hundred times weaker, and scaled on its own.
  const std::vector<float> weights = {1.0f, 0.0f,  -1.0f, 0.0f,   0.0f, 0.0f,
                                      0.0f, 0.01f, 0.0f,  -0.01f, 0.0f, 0.0f};
  const Picture sheet = tile_filters(weights, 2, 1, 2, 3, {.pixel_scale = 2, .gap = 1});
  EXPECT_EQ(sheet.height, 1 + 2 + 1);
  EXPECT_EQ(sheet.width, 1 + 4 + 1 + 4 + 1);
  const auto rgb = [&](int y, int x) {
    const std::uint8_t* p = pixel(sheet, y, x);
    return std::vector<int>{p[0], p[1], p[2]};
  };
  EXPECT_EQ(rgb(1, 1), (std::vector<int>{255, 128, 0}));
  EXPECT_EQ(rgb(2, 2), (std::vector<int>{255, 128, 0}));
  EXPECT_EQ(rgb(1, 3), (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(rgb(1, 6), (std::vector<int>{128, 255, 128}));
  EXPECT_EQ(rgb(1, 8), (std::vector<int>{0, 128, 128}));
}

TEST(FilterSheet, OtherChannelCountsAreGreyAndNanIsMagenta) {
  const std::vector<float> weights = {1.0f, 3.0f, std::nanf(""), 0.0f};
  const Picture sheet = tile_filters(weights, 1, 1, 2, 2, {.pixel_scale = 1, .gap = 0});
  EXPECT_EQ(sheet.pixels, (std::vector<std::uint8_t>{255, 255, 255, 255, 0, 255}));
  const std::vector<float> zeros(9 * 64);
  const Picture many = tile_filters(zeros, 64, 3, 3, 1);  // all-zero filters divide by nothing
  EXPECT_GT(many.width, many.height);
}

TEST(ContactSheet, FramesTellTheVerdictAndPicturesKeepTheirShape) {
  const Picture wide{1, 2, 3, {9, 9, 9, 200, 200, 200}};
  const std::vector<SheetEntry> entries = {{wide, Verdict::right},
                                           {noise(3, 3, 1), Verdict::wrong},
                                           {noise(300, 40, 3), Verdict::unknown}};
  const Picture sheet = contact_sheet(entries, 2, 16);
  const int pitch = 16 + 2 * 4 + 8;
  EXPECT_EQ(sheet.width, 2 * pitch + 8);
  EXPECT_EQ(sheet.height, 2 * pitch + 8);
  const std::uint8_t *right = pixel(sheet, 8, 8), *wrong = pixel(sheet, 8, 8 + pitch);
  EXPECT_GT(right[1], right[0]);
  EXPECT_GT(wrong[0], wrong[1]);
  // 16 x 8 in a cell of 16 x 16: four rows of ground above, dark left, light right.
  EXPECT_EQ(pixel(sheet, 12 + 3, 12)[0], 245);
  EXPECT_EQ(pixel(sheet, 12 + 4, 12)[0], 9);
  EXPECT_EQ(pixel(sheet, 12 + 11, 12 + 15)[0], 200);
  EXPECT_EQ(pixel(sheet, 12 + 12, 12)[0], 245);
}

}  // namespace
}  // namespace kiln
