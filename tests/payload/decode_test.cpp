// Which decoder takes a body, and what is decided before one does.
#include "engine/payload/decode.h"

#include <gtest/gtest.h>

#include "tests/payload/support.h"

namespace kiln::payload {
namespace {

constexpr PictureShape kPicture{.height = 8, .width = 8, .channels = 3};

std::string image_file(const std::string& name) {
  return test::source_file("tests/fuzz/corpus/image/" + name);
}

TEST(DecodePictures, PngOfTheNetworksSizeKeepsItsPixels) {
  for (const char* type : {"image/png", "IMAGE/PNG; charset=utf-8", "application/x-image",
                           "image/png; values=pixels"}) {
    const Pictures pictures = decode_pictures(image_file("rgb.png"), type, kPicture);
    EXPECT_EQ(pictures.count, 1);
    EXPECT_TRUE(pictures.values.empty());
    ASSERT_EQ(pictures.bytes.size(), 192u) << type;
    // Byte i of the committed picture is 5 i mod 256.
    for (std::size_t i = 0; i < 192; ++i) EXPECT_EQ(pictures.bytes[i], 5 * i % 256);
  }
}

TEST(DecodePictures, PicturesAreResized) {
  const Pictures half =
      decode_pictures(image_file("rgb.png"), "image/png", {.height = 4, .width = 4, .channels = 3});
  ASSERT_EQ(half.bytes.size(), 48u);
  // The mean of the pixels (0,0), (0,1), (1,0), (1,1) of the red channel: 0, 15, 120, 135.
  EXPECT_EQ(half.bytes[0], 68);
  // And of the blue one: 10, 25, 130, 145.
  EXPECT_EQ(half.bytes[2], 78);
}

TEST(DecodePictures, ChannelsAreTheNetworks) {
  const PictureShape grey{.height = 8, .width = 8, .channels = 1};
  EXPECT_EQ(decode_pictures(image_file("rgb.jpg"), "image/jpeg", grey).bytes.size(), 64u);
  const Pictures colour = decode_pictures(image_file("grey.png"), "image/png", kPicture);
  ASSERT_EQ(colour.bytes.size(), 192u);
  for (std::size_t i = 0; i < 192; i += 3) {
    EXPECT_EQ(colour.bytes[i], colour.bytes[i + 1]);
    EXPECT_EQ(colour.bytes[i], colour.bytes[i + 2]);
  }
}

TEST(DecodePictures, JpegHasThreeNames) {
  const Pictures expected = decode_pictures(image_file("rgb.jpg"), "image/jpeg", kPicture);
  EXPECT_EQ(expected.bytes.size(), 192u);
  for (const char* type : {"image/jpg", "application/x-image"})
    EXPECT_EQ(decode_pictures(image_file("rgb.jpg"), type, kPicture).bytes, expected.bytes) << type;
}

TEST(DecodePictures, PicturesThatAreNotWhatTheTypeSaysAreRefused) {
  test::expect_refused(image_file("rgb.png"), "image/jpeg", kPicture, 400,
                       {"is a PNG picture", "image/png"});
  test::expect_refused(image_file("rgb.jpg"), "image/png", kPicture, 400,
                       {"is a JPEG picture", "image/jpeg"});
  for (const char* type : {"image/png", "image/jpeg", "application/x-image"}) {
    test::expect_refused(image_file("gif"), type, kPicture, 400, {"neither"});
    test::expect_refused("", type, kPicture, 400, {"neither"});
  }
}

TEST(DecodePictures, PicturesAreForNetworksOfGreyAndColourAlone) {
  for (const std::int64_t channels : {2, 4, 64})
    test::expect_refused(image_file("rgb.png"), "image/png",
                         {.height = 8, .width = 8, .channels = channels}, 415,
                         {"channels", "application/x-npy"});
}

TEST(DecodePictures, DamageAndBombsAreRefused) {
  test::expect_refused(image_file("cut.png"), "image/png", kPicture, 400, {"damaged"});
  test::expect_refused(image_file("cut.jpg"), "image/jpeg", kPicture, 400, {"damaged"});
  test::expect_refused(image_file("cmyk.jpg"), "image/jpeg", kPicture, 400, {"CMYK", "RGB"});
  test::expect_refused(image_file("bomb.png"), "image/png", kPicture, 413, {"60000x60000"});
  test::expect_refused(image_file("bomb.jpg"), "image/jpeg", kPicture, 413, {"65500x65500"});
  test::expect_refused(image_file("rgb.png"), "image/png", kPicture, 413, {"8x8"},
                       {.image_side = 7});
  test::expect_refused(image_file("rgb.jpg"), "image/jpeg", kPicture, 413, {"8x8"},
                       {.image_pixels = 63});
}

TEST(DecodePictures, OctetsAreWholePictures) {
  const PictureShape shape{.height = 1, .width = 2, .channels = 3};
  const std::string body = "abcdefghijkl";
  const Pictures pictures = decode_pictures(body, "application/octet-stream", shape);
  EXPECT_EQ(pictures.count, 2);
  EXPECT_EQ(std::string(pictures.bytes.begin(), pictures.bytes.end()), body);
  test::expect_refused("abcdefg", "application/octet-stream", shape, 400,
                       {"are 7, no multiple of the 6", "[1, 2, 3]"});
  test::expect_refused("", "application/octet-stream", shape, 400, {"no picture"});
  test::expect_refused(body, "application/octet-stream", shape, 413, {"more than 1 pictures"},
                       {.picture_count = 1});
}

TEST(DecodePictures, OnlyOctetsAreLent) {
  const PictureShape shape{.height = 1, .width = 2, .channels = 3};
  std::string body = "abcdefghijkl";
  Pictures pictures = lend_pictures(body, "application/octet-stream", shape);
  EXPECT_EQ(pictures.count, 2);
  EXPECT_TRUE(pictures.bytes.empty());
  EXPECT_EQ(static_cast<const void*>(pictures.pixels().data()), body.data());
  pictures.keep();
  body.assign(body.size(), 'x');
  EXPECT_EQ(std::string(pictures.bytes.begin(), pictures.bytes.end()), "abcdefghijkl");
  EXPECT_EQ(pictures.pixels().data(), pictures.bytes.data());
  EXPECT_THAT(lend_pictures("1,2,3,4,5,6", "text/csv", shape).lent, testing::IsEmpty());
}

TEST(DecodePictures, JsonGoesToItsOwnReader) {
  std::string list = "[0";
  for (std::int64_t i = 1; i < kPicture.size(); ++i) list += ", 0";
  const Pictures pictures =
      decode_pictures(list + "]", "application/json; charset=utf-8", kPicture);
  EXPECT_EQ(pictures.count, 1);
  EXPECT_EQ(pictures.bytes.size(), 192u);
}

TEST(DecodePictures, UnknownTypesAreRefusedWithTheListOfKnownOnes) {
  for (const char* type :
       {"image/gif", "text/plain", "application/xml", "application/x-npz", "*/*",
        "application/x-www-form-urlencoded", "png", "image/png, image/jpeg", ";"})
    test::expect_refused("abc", type, kPicture, 415,
                         {"Content-Type: ", "image/png", "image/jpeg", "application/x-npy",
                          "application/json", "text/csv", "application/octet-stream"});
  test::expect_refused("abc", "text/" + std::string(5000, 'x'), kPicture, 415, {"xxx..."});
}

TEST(DecodePictures, AMissingTypeIsNamedAndGuessedAtNowhere) {
  test::expect_refused("abc", "", kPicture, 415, {"Content-Type: is missing", "send image/png,"});
  test::expect_refused(image_file("rgb.png"), "", kPicture, 415, {"is missing", "send image/png"});
  test::expect_refused(image_file("rgb.jpg"), "", kPicture, 415, {"is missing", "send image/jpeg"});
}

TEST(DecodePictures, BytesAreNeverNetworkValues) {
  for (const char* type : {"image/png; values=network", "application/octet-stream; values=network"})
    test::expect_refused(image_file("rgb.png"), type, kPicture, 415, {"values=network", "x-npy"});
  test::expect_refused("1,2,3", "text/csv; values=", kPicture, 415, {"Content-Type"});
  test::expect_refused("1,2,3", "text/csv; values=floats", kPicture, 415, {"values=pixels"});
}

}  // namespace
}  // namespace kiln::payload
