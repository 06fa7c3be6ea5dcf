#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

#include "tests/payload/support.h"

namespace kiln::payload {
namespace {

constexpr std::string_view kType = "application/x-npy";
constexpr PictureShape kShape{.height = 3, .width = 4, .channels = 2};

std::string array_file(const std::string& name) {
  return test::source_file("tests/fuzz/corpus/npy/" + name + ".npy");
}

// The number of element [n, y, x, c] in the array [N,C,H,W], whose values make_golden.py tells.
template <class Expected>
void for_elements(std::int64_t pictures, const Expected& expected) {
  std::size_t at = 0;
  for (int n = 0; n < pictures; ++n)
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 4; ++x)
        for (int c = 0; c < 2; ++c) expected(at++, n * 24 + c * 12 + y * 4 + x);
}

void expect_floats(const Pictures& pictures, std::int64_t count, const std::string& name) {
  EXPECT_EQ(pictures.count, count) << name;
  EXPECT_TRUE(pictures.bytes.empty()) << name;
  EXPECT_FALSE(pictures.instances) << name;
  ASSERT_EQ(pictures.values.size(), static_cast<std::size_t>(count * 24)) << name;
  for_elements(count, [&](std::size_t at, int index) {
    EXPECT_EQ(pictures.values[at], static_cast<float>(index) / 8 - 2) << name << " " << at;
  });
}

void expect_pixels(const Pictures& pictures, std::int64_t count, const std::string& name,
                   int divisor = 251) {
  EXPECT_EQ(pictures.count, count) << name;
  EXPECT_TRUE(pictures.values.empty()) << name;
  ASSERT_EQ(pictures.bytes.size(), static_cast<std::size_t>(count * 24)) << name;
  for_elements(count, [&](std::size_t at, int index) {
    EXPECT_EQ(pictures.bytes[at], index * 37 % 251 % divisor) << name << " " << at;
  });
}

TEST(Npy, FloatsOfNumPyAreWhatTheNetworkSees) {
  for (const char* name : {"f2", "f4", "f8", "big_f2", "big_f4", "big_f8", "nhwc_f4", "fortran_f4",
                           "version2_f4", "version3_f4"})
    expect_floats(decode_pictures(array_file(name), kType, kShape), 2, name);
  expect_floats(decode_pictures(array_file("single_f4"), kType, kShape), 1, "single_f4");
}

TEST(Npy, IntegersOfNumPyArePixels) {
  for (const char* name : {"u1", "u2", "u4", "u8", "i2", "i4", "i8", "big_u2", "big_i4", "big_i8",
                           "nhwc_u1", "fortran_nhwc_u2"})
    expect_pixels(decode_pictures(array_file(name), kType, kShape), 2, name);
  expect_pixels(decode_pictures(array_file("single_hwc_u1"), kType, kShape), 1, "single_hwc_u1");
  expect_pixels(decode_pictures(array_file("i1"), kType, kShape), 2, "i1", 128);
  const Pictures bools = decode_pictures(array_file("b1"), kType, kShape);
  ASSERT_EQ(bools.bytes.size(), 48u);
  for_elements(2, [&](std::size_t at, int index) {
    EXPECT_EQ(bools.bytes[at], index % 3 == 1 ? 1 : 0) << at;
  });
}

std::string npy(const std::string& header, const std::string& data, const std::string& version) {
  const std::size_t length = header.size();
  std::string bytes = "\x93NUMPY" + version;
  for (std::size_t i = 0; i < (version[0] == 1 ? 2 : 4); ++i)
    bytes += static_cast<char>(length >> 8 * i & 0xFF);
  return bytes + header + data;
}
std::string npy(const std::string& header, const std::string& data) {
  return npy(header, data, std::string("\x01\x00", 2));
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

constexpr PictureShape kRow{.height = 1, .width = 3, .channels = 1};
const std::string kRowHeader = "'fortran_order': False, 'shape': (1, 1, 1, 3), }\n";

std::string row_of_floats(const std::vector<float>& values) {
  return npy("{'descr': '<f4', " + kRowHeader, bytes_of(values));
}

TEST(Npy, HeadersOfManyWritersAreRead) {
  const std::string data = bytes_of<std::uint8_t>({1, 2, 3});
  for (const char* header :
       {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 3), }   \n",
        "{'shape':(1,1,1,3),'fortran_order':False,'descr':'|u1'}",
        "{\"fortran_order\": True, \"descr\": \"<u1\", \"shape\": (1L, 1L, 1L, 3L,), }\n",
        " { 'descr' : '>u1' , 'shape' : ( 1 , 1 , 3 ) , 'fortran_order' : False } \n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 1)}"}) {
    const Pictures pictures = decode_pictures(npy(header, data), kType, kRow);
    EXPECT_EQ(pictures.bytes, (std::vector<std::uint8_t>{1, 2, 3})) << header;
  }
  const Pictures trailing = decode_pictures(row_of_floats({1, 2, 3, 4, 5}), kType, kRow);
  EXPECT_EQ(trailing.values, (std::vector<float>{1, 2, 3}));
}

TEST(Npy, ChannelsComeFirstWhereBothOrdersFit) {
  const PictureShape cube{.height = 2, .width = 2, .channels = 2};
  const std::string body = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2)}",
                               bytes_of<std::uint8_t>({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(decode_pictures(body, kType, cube).bytes,
            (std::vector<std::uint8_t>{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(Npy, TheParameterSaysWhatNumbersAre) {
  const std::string pixels = "application/x-npy; values=pixels",
                    network = "application/x-npy; values=\"network\"";
  EXPECT_EQ(decode_pictures(row_of_floats({0, 254.6f, 2.5f}), pixels, kRow).bytes,
            (std::vector<std::uint8_t>{0, 255, 2}));
  const std::string integers =
      npy("{'descr': '<i2', " + kRowHeader, bytes_of<std::int16_t>({-300, 0, 300}));
  EXPECT_EQ(decode_pictures(integers, network, kRow).values, (std::vector<float>{-300, 0, 300}));
  test::expect_refused(row_of_floats({0, -0.5f, 2}), pixels, kRow, 400,
                       {"element [0, 0, 0, 1]", "0 to 255", "values=network"});
  test::expect_refused(row_of_floats({0, 1, 255.5f}), pixels, kRow, 400, {"element [0, 0, 0, 2]"});
  test::expect_refused(row_of_floats({std::nanf(""), 1, 2}), pixels, kRow, 400,
                       {"element [0, 0, 0, 0]"});
  test::expect_refused(integers, "application/x-npy;values=bytes", kRow, 415, {"values=pixels"});
}

TEST(Npy, NumbersBeyondTheirRangeAreNamed) {
  const float infinity = std::numeric_limits<float>::infinity();
  test::expect_refused(row_of_floats({1, std::nanf(""), 2}), kType, kRow, 400,
                       {"element [0, 0, 0, 1]", "NaN"});
  test::expect_refused(row_of_floats({1, 2, -infinity}), kType, kRow, 400,
                       {"element [0, 0, 0, 2]", "infinite"});
  test::expect_refused(npy("{'descr': '<f8', " + kRowHeader, bytes_of<double>({1, 1e39, 2})), kType,
                       kRow, 400, {"element [0, 0, 0, 1]", "beyond"});
  const struct {
    const char* descr;
    std::string data;
  } integers[] = {
      {"|i1", bytes_of<std::int8_t>({0, -1, 0})},
      {"<i2", bytes_of<std::int16_t>({255, 256, 0})},
      {"<i4", bytes_of<std::int32_t>({0, std::numeric_limits<std::int32_t>::min(), 0})},
      {"<i8", bytes_of<std::int64_t>({0, std::int64_t{1} << 32, 0})},
      {"<u2", bytes_of<std::uint16_t>({0, 0xFF00, 0})},
      {"<u4", bytes_of<std::uint32_t>({0, 256, 0})},
      {"<u8", bytes_of<std::uint64_t>({0, std::uint64_t{1} << 63, 0})},
  };
  for (const auto& [descr, data] : integers)
    test::expect_refused(npy(std::string("{'descr': '") + descr + "', " + kRowHeader, data), kType,
                         kRow, 400, {"element [0, 0, 0, 1]", "no pixel", "astype"});
}

TEST(Npy, PlacesAreThoseOfTheClientsArray) {
  std::string body = array_file("fortran_nhwc_u2");
  // In Fortran's order [n, y, x, c] stands at n + 2 y + 6 x + 24 c.
  body[128 + 2 * (1 + 2 * 2 + 6 * 3 + 24 * 1) + 1] = 1;
  test::expect_refused(body, kType, kShape, 400, {"element [1, 2, 3, 1]"});
  std::string single = array_file("single_f4");
  const float nan = std::nanf("");
  std::memcpy(single.data() + 128 + 4 * (12 + 4 * 2 + 3), &nan, 4);
  test::expect_refused(single, kType, kShape, 400, {"element [1, 2, 3]"});
}

TEST(Npy, HostileHeadersAreRefused) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 3), }";
  const std::string data(12, '\0');
  const auto with_shape = [](const std::string& shape) {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}";
  };
  const auto with_type = [](const std::string& descr) {
    return "{'descr': " + descr + ", 'fortran_order': False, 'shape': (1, 1, 1, 3)}";
  };
  const struct {
    std::string header;
    const char* part;
  } table[] = {
      {"", "lacks a '{'"},
      {"{}", "lacks descr"},
      {"{'descr': '<f4'}", "lacks descr, fortran_order or shape"},
      {good + "x", "more than a dict"},
      {good.substr(0, good.size() - 1), "no dict"},
      {"{'descr': '<f4', 'descr': '<f4'}", "descr twice"},
      {"{'descr': '<f4', 'evil\x1b[2J': 1}", "unknown key 'evil\\x1b[2J'"},
      {"{'descr' '<f4'}", "lacks a ':'"},
      {"{'descr: 1}", "without end"},
      {"{descr: 1}", "no dict"},
      {"{'de\\x73cr': '<f4'}", "escape"},
      {"{,}", "no dict"},
      {with_type("'|O'"), "'|O'"},
      {with_type("[('a', '<f4')]"), "records"},
      {with_type("('<f4', (2,))"), "records"},
      {with_type("'<c8'"), "astype(numpy.float32)"},
      {with_type("'<f16'"), "'<f16'"},
      {with_type("'<f1'"), "'<f1'"},
      {with_type("'|f4'"), "'|f4'"},
      {with_type("'f4'"), "'f4'"},
      {with_type("'=f4'"), "'=f4'"},
      {with_type("'<i3'"), "'<i3'"},
      {with_type("'<S3'"), "'<S3'"},
      {with_type("'<U3'"), "'<U3'"},
      {with_type("'<M8[ns]'"), "'<M8[ns]'"},
      {with_type("''"), "''"},
      {with_type("4"), "no dict"},
      {"{'descr': '<f4', 'fortran_order': 1}", "neither True nor False"},
      {"{'descr': '<f4', 'fortran_order': false}", "neither True nor False"},
      {with_shape("3"), "lacks a '('"},
      {with_shape("[1, 1, 1, 3]"), "lacks a '('"},
      {with_shape("(3)"), "no tuple"},
      {with_shape("(-1, 1, 1, 3)"), "no number"},
      {with_shape("(+1, 1, 1, 3)"), "no number"},
      {with_shape("(1.0, 1, 1, 3)"), "lacks a ')'"},
      {with_shape("(1e1, 1, 1, 3)"), "lacks a ')'"},
      {with_shape("(,)"), "no number"},
      {with_shape("(1,,1)"), "no number"},
      {with_shape("(1"), "lacks a ')'"},
      {with_shape("(9223372036854775808, 1, 1, 3)"), "no number"},
      {with_shape("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "eight axes"},
      {with_shape("()"), "shape []"},
      {with_shape("(3,)"), "shape [3]"},
      {with_shape("(1, 3)"), "shape [1, 3]"},
      {with_shape("(1, 1, 1, 1, 3)"), "shape [1, 1, 1, 1, 3]"},
      {with_shape("(1, 1, 1, 4)"), "send [N, 1, 1, 3] or [N, 1, 3, 1]"},
      {with_shape("(4294967296, 4294967296, 1, 3)"), "shape [4294967296, 4294967296, 1, 3]"},
      {with_shape("(0, 1, 1, 3)"), "no picture"},
      {with_shape("(2, 1, 1, 3)"), "ends after 3 of the elements of [2, 1, 1, 3]"},
  };
  for (const auto& [header, part] : table)
    test::expect_refused(npy(header, data), kType, kRow, 400, {"npy array: ", part});
}

TEST(Npy, HostileFramesAreRefused) {
  const std::string good = row_of_floats({1, 2, 3});
  for (std::size_t size = 0; size < good.size(); ++size)
    test::expect_refused(std::string_view(good).substr(0, size), kType, kRow, 400, {"npy array"});
  const std::string header = "{'descr': '<f4', " + kRowHeader;
  for (const char* version : {"\x04\x00", "\xFF\x00", "\x01\x01"})
    test::expect_refused(npy(header, good, std::string(version, 2)), kType, kRow, 400, {"version"});
  test::expect_refused(npy(header, good, std::string("\x00\x00", 2)), kType, kRow, 400,
                       {"version"});
  test::expect_refused(npy(header + std::string(10'000, ' '), good), kType, kRow, 400, {"10000"});
  test::expect_refused(std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{}", 14), kType, kRow, 400,
                       {"10000"});
}

TEST(Npy, TheCountIsLimitedBeforeTheBytesAreLookedAt) {
  const DecodeLimits none{.picture_count = std::numeric_limits<std::int64_t>::max()};
  const auto lie = [](const std::string& count) {
    return npy("{'descr': '<f4', 'fortran_order': True, 'shape': (" + count + ", 1, 1, 3)}", "");
  };
  test::expect_refused(lie("9223372036854775807"), kType, kRow, 413, {"more than 4096 pictures"});
  test::expect_refused(lie("9223372036854775807"), kType, kRow, 413, {"more than"}, none);
  // Where the limit allows it, the body is still the measure.
  test::expect_refused(lie("3074457345618258602"), kType, kRow, 400, {"ends after 0"}, none);
  test::expect_refused(array_file("f4"), kType, kShape, 413, {"more than 1"}, {.picture_count = 1});
  EXPECT_EQ(decode_pictures(array_file("f4"), kType, kShape, {.picture_count = 2}).count, 2);
}

TEST(Npy, ObjectsAndRecordsOfNumPyAreRefused) {
  test::expect_refused(array_file("object"), kType, kShape, 400, {"'|O'", "numpy.float32"});
  test::expect_refused(array_file("record"), kType, kShape, 400, {"records", "numpy.float32"});
  test::expect_refused(array_file("complex"), kType, kShape, 400, {"'<c8'", "numpy.float32"});
  test::expect_refused(array_file("none"), kType, kShape, 400, {"no picture"});
}

}  // namespace
}  // namespace kiln::payload
