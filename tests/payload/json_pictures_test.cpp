#include "engine/payload/json_pictures.h"

#include <string>
#include <vector>

#include "tests/payload/support.h"

namespace kiln::payload {
namespace {

using test::expect_refused;
using testing::ElementsAre;

// Two channels of one row and three columns: [C,H,W] is [2,1,3], [H,W,C] is [1,3,2].
constexpr PictureShape kShape{.height = 1, .width = 3, .channels = 2};

Pictures read(std::string_view body, std::optional<bool> pixels = {}) {
  return decode_json_pictures(body, kShape, {.picture_count = 4}, pixels);
}

TEST(JsonPictures, EveryLayoutIsTheSamePicture) {
  for (const char* body :
       {"[[[[1,2,3]],[[4,5,6]]]]", "[[[1,2,3]],[[4,5,6]]]", "[[[1,4],[2,5],[3,6]]]",
        "[[[[1,4],[2,5],[3,6]]]]", "[1,2,3,4,5,6]", "[[1,2,3,4,5,6]]", " [ 1 , 2,\n3,\t4 , 5,6 ] ",
        "{\"instances\":[[1,2,3,4,5,6]]}",
        R"({"signature_name":"x","instances":[1,2,3,4,5,6],"parameters":{}})"}) {
    const Pictures pictures = read(body);
    EXPECT_EQ(pictures.count, 1) << body;
    EXPECT_THAT(pictures.bytes, ElementsAre(1, 4, 2, 5, 3, 6)) << body;
    EXPECT_TRUE(pictures.values.empty());
    EXPECT_EQ(pictures.instances, body[0] == '{');
  }
}

TEST(JsonPictures, ABatchKeepsItsOrder) {
  const Pictures pictures = read("[[1,2,3,4,5,6],[7,8,9,10,11,12]]");
  EXPECT_EQ(pictures.count, 2);
  EXPECT_THAT(pictures.bytes, ElementsAre(1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12));
}

TEST(JsonPictures, WhereBothOrdersFitTheChannelsComeFirst) {
  const Pictures pictures = decode_json_pictures("[[[1,2],[3,4]],[[5,6],[7,8]]]",
                                                 {.height = 2, .width = 2, .channels = 2}, {});
  EXPECT_THAT(pictures.bytes, ElementsAre(1, 5, 2, 6, 3, 7, 4, 8));
}

TEST(JsonPictures, OneFractionMakesAllNumbersWhatTheNetworkSees) {
  EXPECT_THAT(read("[1,-2,300,4,5,6.5]").values, ElementsAre(1, 4, -2, 5, 300, 6.5f));
  EXPECT_THAT(read("[1e0,2,3,4,5,6]").values, ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(read("[0.1,-0.0,1e-999,4E2,5,6]").values,
              ElementsAre(0.1f, 400.0f, -0.0f, 5.0f, 0.0f, 6.0f));
}

TEST(JsonPictures, TheParameterOverrules) {
  EXPECT_THAT(read("[0.4,0.5,1.5,254.6,255.0,2e1]", true).bytes,
              ElementsAre(0, 255, 0, 255, 2, 20));
  EXPECT_THAT(read("[1,-2,300,4,5,6]", false).values, ElementsAre(1, 4, -2, 5, 300, 6));
}

// Long enough for the readers of words; the numbers are what Python's float() reads.
TEST(JsonPictures, LongBodiesReadLikeShortOnes) {
  const PictureShape shape{.height = 1, .width = 300, .channels = 1};
  std::string pixels = "[", floats = "[";
  for (int i = 0; i < 300; ++i) {
    pixels += (i > 0 ? "," : "") + std::to_string(i % 256);
    floats += (i > 0 ? ", " : "") + std::string(i % 2 > 0 ? "-" : "") + std::to_string(i) + ".25";
  }
  const Pictures whole = decode_json_pictures(pixels + "]", shape, {});
  const Pictures values = decode_json_pictures(floats + "]", shape, {});
  ASSERT_EQ(whole.bytes.size(), 300u);
  ASSERT_EQ(values.values.size(), 300u);
  for (std::size_t i = 0; i < 300; ++i) {
    const float magnitude = static_cast<float>(i) + 0.25f;
    EXPECT_EQ(whole.bytes[i], i % 256);
    EXPECT_EQ(values.values[i], i % 2 > 0 ? -magnitude : magnitude);
  }
}

struct Hostile {
  const char* body;
  int status;
  const char* words;
};

TEST(JsonPictures, HostileBodiesAreRefusedWithThePlace) {
  const std::vector<Hostile> table = {
      {"", 400, "byte 0: the text ends"},
      {"3", 400, "no list of numbers"},
      {"\"x\"", 400, "no list of numbers"},
      {"{}", 400, "no member `instances`"},
      {"{\"instances\":7}", 400, "byte 13: no list"},
      {"{\"instance\":[1]}", 400, "'instance' is not known"},
      {"{\"\\u0007\":[1]}", 400, "is not known"},
      {"{\"instances\":[1,2,3,4,5,6],\"instances\":[1]}", 400, "comes twice"},
      {"{\"parameters\":1,\"parameters\":1}", 400, "comes twice"},
      {"[]", 400, "the shape [0]"},
      {"[[]]", 400, "the shape [1, 0]"},
      {"[1,2,3,4,5]", 400, "the shape [5]"},
      {"[1,2,3,4,5,6,7]", 400, "the shape [7]"},
      {"[[1,2,3]]", 400, "the shape [1, 3]"},
      {"[[[[1,2,3]],[[4,5]]]]", 400, "the list [0, 1, 0] has 2 elements"},
      {"[[1,2,3,4,5,6],[1,2,3]]", 400, "the list [1] has 3 elements"},
      {"[1,[2]]", 400, "element [1] is a list where others are numbers"},
      {"[[1],2]", 400, "element [1] is a number where others are lists"},
      {"[[],2]", 400, "element [1] is a number where others are lists"},
      {"[[[[[1]]]]]", 400, "nested deeper than 4"},
      {"[1,null]", 400, "element [1] is neither"},
      {"[1,\"2\"]", 400, "element [1] is neither"},
      {"[true]", 400, "element [0] is neither"},
      {"[1,{}]", 400, "element [1] is neither"},
      {"[1,2,3,4,5,NaN]", 400, "byte 11: no value"},
      {"[1,2,3,4,5,1e99]", 400, "byte 11: a number is beyond the range"},
      {"[1,2,3,4,5,256]", 400, "byte 11: is no whole pixel"},
      {"[1,2,3,4,5,-1]", 400, "byte 11: is no whole pixel"},
      {"[1,2,3,4,5,99999999999999999999999]", 400, "byte 11: is no whole pixel"},
      {"[1,2,3,4,5,06]", 400, "byte 11: a number has a leading zero"},
      {"[1,2,3,4,5,6", 400, "the text ends"},
      {"[1,2,3,4,5,6]]", 400, "byte 13: something follows"},
      {"[[1,2,3,4,5,6],[1,2,3,4,5,6],[1,2,3,4,5,6],[1,2,3,4,5,6],[1]]", 413,
       "more than 4 pictures"},
  };
  for (const Hostile& hostile : table)
    expect_refused(hostile.body, "application/json", kShape, hostile.status, {hostile.words},
                   {.picture_count = 4});
}

TEST(JsonPictures, LeadingZerosAreRefusedInLongBodiesToo) {
  const std::string behind = ",1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24]";
  for (const char* begin : {"[01", "[1,007", "[1.5,01.5", "[1.5,-01.5"})
    expect_refused(begin + behind, "application/json", kShape, 400, {"a number has a leading zero"},
                   {.picture_count = 9});
}

TEST(JsonPictures, PixelsByParameterLieWithinTheirRange) {
  for (const char* body : {"[1,2,3,4,5,255.5]", "[1,2,3,4,5,-0.1]"})
    expect_refused(body, "application/json; values=pixels", kShape, 400, {"byte 11: is no pixel"});
}

}  // namespace
}  // namespace kiln::payload
