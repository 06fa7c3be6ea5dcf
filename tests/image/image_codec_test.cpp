#include "engine/image/image_codec.h"

#include <gtest/gtest.h>

#include "engine/image/resize.h"
#include "tests/data/support.h"

namespace kiln {
namespace {

std::vector<std::byte> corpus_file(const char* name) {
  return read_file(test::corpus_folder("image") / name, 1 << 20);
}

// The 8x8 picture of tests/fuzz/corpus/image: byte i is 5 i mod 256.
std::vector<std::uint8_t> source_pixels() {
  std::vector<std::uint8_t> pixels(8 * 8 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(5 * i);
  return pixels;
}

TEST(ImageCodec, NamesTheDecoder) {
  const std::string name = image_decoder_name();
  EXPECT_TRUE(name.find("libjpeg-turbo") != std::string::npos ||
              name.find("stb_image 2.3") != std::string::npos)
      << name;
}

TEST(ImageCodec, DecodesPngExactly) {
  for (const char* name : {"rgb.png", "rgba.png"}) {
    const Image image = decode_image(corpus_file(name), name);
    EXPECT_EQ(image.width, 8);
    EXPECT_EQ(image.height, 8);
    ASSERT_EQ(image.channels, 3);
    EXPECT_EQ(image.bytes, source_pixels()) << name;
  }
}

TEST(ImageCodec, KeepsAndConvertsGrey) {
  for (const char* name : {"grey.png", "grey.jpg", "bits16.png"}) {
    const Image grey = decode_image(corpus_file(name), name);
    ASSERT_EQ(grey.channels, 1) << name;
    const Image colour = decode_image(corpus_file(name), name, 3);
    ASSERT_EQ(colour.channels, 3);
    for (std::size_t i = 0; i < grey.bytes.size(); ++i)
      for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(colour.bytes[3 * i + c], grey.bytes[i]) << name;
  }
  EXPECT_EQ(decode_image(corpus_file("rgb.jpg"), "rgb.jpg", 1).bytes.size(), 64u);
}

TEST(ImageCodec, DecodesJpegCloseToTheSource) {
  for (const char* name : {"rgb.jpg", "progressive.jpg"}) {
    const Image image = decode_image(corpus_file(name), name);
    ASSERT_EQ(image.bytes.size(), 192u);
    double sum = 0, source_sum = 0;
    for (const auto v : image.bytes) sum += v;
    for (const auto v : source_pixels()) source_sum += v;
    EXPECT_NEAR(sum / 192, source_sum / 192, 4.0) << name;
  }
}

TEST(ImageCodec, EncodedPngDecodesToTheSame) {
  for (const int channels : {1, 3}) {
    Image image{.width = 13, .height = 7, .channels = channels};
    for (int i = 0; i < 13 * 7 * channels; ++i)
      image.bytes.push_back(static_cast<std::uint8_t>(i * i));
    const Image back = decode_image(encode_png(image), "own.png");
    EXPECT_EQ(back.bytes, image.bytes);
    EXPECT_EQ(back.channels, channels);
  }
}

void expect_refused(const char* name, std::initializer_list<const char*> parts) {
  const auto bytes = corpus_file(name);
  test::expect_error([&] { decode_image(bytes, name); }, parts);
}

TEST(ImageCodec, RefusesDamageAndBombs) {
  expect_refused("empty", {"empty", "is empty"});
  expect_refused("gif", {"neither a JPEG nor a PNG"});
  expect_refused("cut.jpg", {"cut.jpg", "damaged"});
  expect_refused("header_only.jpg", {"header_only.jpg"});
  expect_refused("cut.png", {"cut.png", "damaged"});
  expect_refused("signature.png", {"damaged"});
  expect_refused("chunk_lie.png", {"damaged"});
  expect_refused("bomb.png", {"60000x60000", "limit"});
  expect_refused("bomb.jpg", {"65500x65500", "limit"});
}

TEST(ImageCodec, ObeysTheLimits) {
  const auto bytes = corpus_file("rgb.png");
  test::expect_error([&] { decode_image(bytes, "p", 0, {.max_side = 7}); }, {"8x8"});
  test::expect_error([&] { decode_image(bytes, "p", 0, {.max_pixels = 63}); }, {"8x8"});
  EXPECT_NO_THROW(decode_image(bytes, "p", 0, {.max_side = 8, .max_pixels = 64}));
}

TEST(Resizer, AveragesAreasWhenShrinking) {
  const Image image{
      .width = 4, .height = 2, .channels = 1, .bytes = {0, 10, 20, 30, 4, 14, 24, 34}};
  std::uint8_t out[2];
  Resizer().resize(image, {1, 2}, out);
  EXPECT_EQ(out[0], 7);  // (0 + 10 + 4 + 14) / 4
  EXPECT_EQ(out[1], 27);
  std::uint8_t thirds[3];
  Resizer().resize({.width = 4, .height = 1, .channels = 1, .bytes = {0, 30, 60, 90}}, {1, 3},
                   thirds);
  EXPECT_EQ(thirds[0], 8);  // (0 + 30 / 3) / (4 / 3) = 7.5
  EXPECT_EQ(thirds[1], 45);
}

TEST(Resizer, InterpolatesWhenGrowing) {
  const Image image{.width = 2, .height = 1, .channels = 1, .bytes = {0, 100}};
  std::uint8_t out[4];
  Resizer().resize(image, {1, 4}, out);
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 25);
  EXPECT_EQ(out[2], 75);
  EXPECT_EQ(out[3], 100);
  std::uint8_t single[6];
  Resizer().resize({.width = 1, .height = 1, .channels = 3, .bytes = {9, 8, 7}}, {1, 2}, single);
  EXPECT_EQ(single[3], 9);
  EXPECT_EQ(single[5], 7);
}

}  // namespace
}  // namespace kiln
