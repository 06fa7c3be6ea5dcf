#include "models/safetensors.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/temp_folder.h"

namespace kiln {
namespace {

using testing::HasSubstr;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

// A file with this header and `data_bytes` zero bytes behind it.
std::string file_with(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  file.append(data_bytes, '\0');
  return file;
}

SafetensorsContents parse(std::string_view file) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), "x.safetensors");
}

std::string error_of(std::string_view file) {
  try {
    parse(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "no error";
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape,
                   std::string_view offsets) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) +
         "\",\"shape\":" + std::string(shape) + ",\"data_offsets\":" + std::string(offsets) + "}";
}

class SafetensorsTest : public TempFolderTest {};

TEST_F(SafetensorsTest, RoundTripKeepsEveryBitOfEveryType) {
  const std::vector<float> f32 = {1.5f, -0.0f, std::nanf("7"), 1e-42f};
  const std::vector<double> f64 = {0.1};
  const std::vector<std::int32_t> i32 = {-7, 8};
  const std::vector<std::int64_t> i64 = {std::int64_t{1} << 60};
  const std::vector<std::uint8_t> u8 = {1, 2, 255};
  const SafetensorsEntry entries[] = {
      {"b.u8", DType::u8, {3}, bytes_of(u8)},   {"a.f32", DType::f32, {2, 1, 2}, bytes_of(f32)},
      {"é.f64", DType::f64, {}, bytes_of(f64)}, {"c.i32", DType::i32, {2}, bytes_of(i32)},
      {"empty", DType::f32, {0, 4}, {}},        {"d.i64", DType::i64, {1}, bytes_of(i64)}};
  write_safetensors(folder() / "m.safetensors", entries, {{"format", "pt"}, {"note", "a\n\"b\""}});

  const SafetensorsFile file(folder() / "m.safetensors");
  ASSERT_EQ(file.entries().size(), 6u);
  for (const SafetensorsEntry& wanted : entries) {
    const SafetensorsEntry& got = file.at(wanted.name, wanted.dtype, wanted.shape);
    ASSERT_EQ(got.bytes.size(), wanted.bytes.size());
    EXPECT_TRUE(std::equal(got.bytes.begin(), got.bytes.end(), wanted.bytes.begin()));
  }
  EXPECT_EQ(file.metadata().at("note"), "a\n\"b\"");
}

TEST_F(SafetensorsTest, WritesTheBytesOfTheFormat) {
  const std::vector<float> values = {1.0f};
  const SafetensorsEntry entries[] = {{"w", DType::f32, {1}, bytes_of(values)}};
  write_safetensors(folder() / "m", entries);
  const std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string text = read_text_file(folder() / "m", 1000);
  ASSERT_EQ(text.size(), 8 + 56 + 4u);  // the header's 54 bytes are padded to 56
  EXPECT_EQ(text.substr(0, 8), std::string("\x38\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(text.substr(8, 56), header + "  ");
  EXPECT_EQ(text.substr(64), std::string("\0\0\x80\x3f", 4));
}

TEST_F(SafetensorsTest, OrderOfEntriesDoesNotChangeTheFileAndTensorsAreAligned) {
  const std::vector<std::uint8_t> u8 = {1};
  const std::vector<double> f64 = {2.0};
  const SafetensorsEntry byte_entry{"a", DType::u8, {1}, bytes_of(u8)};
  const SafetensorsEntry double_entry{"z", DType::f64, {1}, bytes_of(f64)};
  write_safetensors(folder() / "1", std::vector{byte_entry, double_entry});
  write_safetensors(folder() / "2", std::vector{double_entry, byte_entry});
  EXPECT_EQ(read_text_file(folder() / "1", 1000), read_text_file(folder() / "2", 1000));
  const SafetensorsFile file(folder() / "1");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.find("z")->bytes.data()) % 8, 0u);
}

TEST_F(SafetensorsTest, AFileWithoutTensorsIsAFile) {
  write_safetensors(folder() / "m", {});
  EXPECT_TRUE(SafetensorsFile(folder() / "m").entries().empty());
}

TEST_F(SafetensorsTest, SaysWhatIsThereInsteadOfWhatWasAskedFor) {
  const std::vector<float> values = {1.0f, 2.0f};
  const SafetensorsEntry entries[] = {{"conv1.bias", DType::f32, {2}, bytes_of(values)}};
  write_safetensors(folder() / "m", entries);
  const SafetensorsFile file(folder() / "m");
  const auto message = [&](std::string_view name, DType dtype, const Shape& shape) {
    try {
      file.at(name, dtype, shape);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message("fc.bias", DType::f32, {2}),
              testing::AllOf(HasSubstr("\"fc.bias\" is missing"), HasSubstr("/m: ")));
  EXPECT_THAT(message("conv1.bias", DType::f32, {3}),
              HasSubstr("is f32 [2]; the model needs f32 [3]"));
  EXPECT_THAT(message("conv1.bias", DType::f64, {2}), HasSubstr("needs f64 [2]"));
  EXPECT_EQ(message("conv1.bias", DType::f32, {2}), "no error");
}

TEST_F(SafetensorsTest, RefusesToWriteWhatItCouldNotRead) {
  const std::vector<float> values = {1.0f};
  const auto write = [&](std::vector<SafetensorsEntry> entries) {
    write_safetensors(folder() / "m", entries);
  };
  const SafetensorsEntry good{"w", DType::f32, {1}, bytes_of(values)};
  EXPECT_THROW(write({good, good}), std::logic_error);
  EXPECT_THROW(write({{"", DType::f32, {1}, bytes_of(values)}}), std::logic_error);
  EXPECT_THROW(write({{"__metadata__", DType::f32, {1}, bytes_of(values)}}), std::logic_error);
  EXPECT_THROW(write({{"w", DType::f32, {2}, bytes_of(values)}}), std::logic_error);
  EXPECT_THROW(write({{"\xff", DType::f32, {1}, bytes_of(values)}}), std::logic_error);
  EXPECT_FALSE(std::filesystem::exists(folder() / "m"));
}

TEST(SafetensorsParse, TakesWhatTheFormatAllows) {
  const SafetensorsContents contents = parse(file_with(
      "{" + tensor("z", "F32", "[2]", "[0,8]") + ", " + tensor("a", "U8", "[]", "[8,9]") + "}  ",
      9));
  ASSERT_EQ(contents.entries.size(), 2u);
  EXPECT_EQ(contents.entries[0].name, "a");
  EXPECT_EQ(contents.entries[0].shape, Shape{});
  EXPECT_EQ(contents.find("z")->bytes.size(), 8u);
  EXPECT_EQ(contents.find("m"), nullptr);
  EXPECT_TRUE(parse(file_with("{}", 0)).entries.empty());
}

struct Hostile {
  const char* name;
  std::string file;
  const char* wrong;  // part of the message
};

class SafetensorsHostile : public testing::TestWithParam<Hostile> {};

TEST_P(SafetensorsHostile, IsRefusedWithOneClearLine) {
  const std::string message = error_of(GetParam().file);
  EXPECT_THAT(message, HasSubstr("x.safetensors: "));
  EXPECT_THAT(message, HasSubstr(GetParam().wrong));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

std::string length_only(std::uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + "{}";
}

std::vector<Hostile> framing_faults() {
  return {
      {"Empty", "", "has 0 bytes, too few"},
      {"SevenBytes", std::string(7, '\0'), "has 7 bytes, too few"},
      {"NoHeader", std::string(8, '\0'), "does not start with"},
      {"LengthOfTwoToThe63", length_only(std::uint64_t{1} << 63), "9223372036854775808"},
      {"LengthOfAllOnes", length_only(~std::uint64_t{0}), "18446744073709551615"},
      {"LengthBeyondTheFile", length_only(3), "announces a header of 3 bytes but holds 2"},
      {"ByteOrderMark", file_with("\xEF\xBB\xBF{}", 0), "does not start with"},
      {"LeadingSpace", file_with(" {}", 0), "does not start with"},
      {"Array", file_with("[]", 0), "does not start with"},
      {"TwoDocuments", file_with("{}{}", 0), "not JSON"},
      {"Comment", file_with("{/**/}", 0), "not JSON"},
      {"NotUtf8", file_with("{\"\xff\":1}", 0), "not JSON"},
      {"TrailingData", file_with("{}", 1), "has 1 bytes behind its last tensor"},
  };
}

std::vector<Hostile> grammar_faults() {
  const auto one = [](const char* shape, const char* offsets) {
    return file_with("{" + tensor("w", "F32", shape, offsets) + "}", 4);
  };
  std::string deep = "{\"w\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  return {
      {"NegativeExtent", one("[-1]", "[0,4]"), "tensor \"w\" holds a negative number"},
      {"NanExtent", one("[NaN]", "[0,4]"), "not JSON"},
      {"Infinity", one("[1e999]", "[0,4]"), "header"},
      {"FractionExtent", one("[1.0]", "[0,4]"), "not a whole number"},
      {"HugeExtent", one("[18446744073709551616]", "[0,4]"), "not a whole number"},
      {"TextExtent", one("[\"1\"]", "[0,4]"), "text where none belongs"},
      {"NestedExtent", one("[[1]]", "[0,4]"), "array where none belongs"},
      {"SixExtents", one("[1,1,1,1,1,1]", "[0,4]"), "more than 5 extents"},
      {"NullShape", one("null", "[0,4]"), "holds null"},
      {"OneOffset", one("[1]", "[0]"), "two data_offsets"},
      {"ThreeOffsets", one("[1]", "[0,4,4]"), "two data_offsets"},
      {"NumberOffsets", one("[1]", "4"), "number where none belongs"},
      {"DeepNesting", file_with(deep, 0), "array where none belongs"},
      {"DeepObjects", file_with(R"({"w":{"shape":{"w":{}}}})", 0), "object where none belongs"},
      {"MissingDtype", file_with(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4), "needs dtype"},
      {"UnknownKey", file_with(R"({"w":{"dtype":"U8","x":1}})", 0), "unknown key \"x\""},
      {"FieldTwice", file_with(R"({"w":{"dtype":"U8","dtype":"U8"}})", 0), "\"dtype\" twice"},
      {"NameTwice",
       file_with(
           "{" + tensor("w", "U8", "[1]", "[0,1]") + "," + tensor("w", "U8", "[1]", "[1,2]") + "}",
           2),
       "tensor \"w\" is there twice"},
      {"MetadataTwice", file_with(R"({"__metadata__":{},"__metadata__":{}})", 0), "twice"},
      {"MetadataKeyTwice", file_with(R"({"__metadata__":{"a":"","a":""}})", 0), "twice"},
      {"MetadataNumber", file_with(R"({"__metadata__":{"a":1}})", 0), "number where none"},
      {"TensorIsNumber", file_with(R"({"w":1})", 0), "number where none"},
      {"EmptyName", file_with("{" + tensor("", "U8", "[1]", "[0,1]") + "}", 1), "is empty"},
      {"EscapeInName", file_with("{" + tensor("\\u001b[2J", "U8", "[1]", "[0,1]") + "}", 1),
       "\\x1b[2J"},
  };
}

std::vector<Hostile> layout_faults() {
  const auto two = [](const char* first, const char* second) {
    return file_with(
        "{" + tensor("a", "U8", "[4]", first) + "," + tensor("b", "U8", "[4]", second) + "}", 8);
  };
  const auto one = [](const char* dtype, const char* shape, const char* offsets) {
    return file_with("{" + tensor("w", dtype, shape, offsets) + "}", 4);
  };
  return {
      {"Overlap", two("[0,4]", "[3,7]"), "tensor \"b\" begins at byte 3, inside the one before"},
      {"SamePlace", two("[0,4]", "[0,4]"), "inside the one before"},
      {"Gap", two("[0,3]", "[4,8]"), "leaves a gap from byte 3"},
      {"GapInFront", two("[4,8]", "[4,8]"), "leaves a gap from byte 0"},
      {"BeyondTheEnd", two("[0,4]", "[4,9]"), "ends at byte 9 of the data, which has 8"},
      {"Backwards", two("[4,0]", "[4,8]"), "ends before it begins"},
      {"HugeOffsets", two("[0,18446744073709551615]", "[4,8]"), "of the data, which has 8"},
      {"DataMissing", file_with("{" + tensor("w", "F32", "[2]", "[0,8]") + "}", 7), "has 7"},
      {"WrongSize", one("F32", "[2]", "[0,4]"), "has 4 bytes where its shape and type need 8"},
      {"ProductOverflow", one("F32", "[4611686018427387905,4]", "[0,4]"), "does not fit 64 bits"},
      {"OverflowHiddenByZero", one("U8", "[9223372036854775807,4,0]", "[0,4]"), "not fit 64 bits"},
      {"Beyond63Bits",
       file_with("{" + tensor("w", "U8", "[0,9223372036854775808]", "[0,0]") + "}", 0),
       "not fit 63 bits"},
      {"UnknownType", one("BF16", "[2]", "[0,4]"), "has the type BF16; kiln reads"},
      {"HostileType", one("\\u001b[2J", "[2]", "[0,4]"), "has the type \\x1b[2J"},
  };
}

const auto kHostileName = [](const testing::TestParamInfo<Hostile>& info) {
  return std::string(info.param.name);
};
INSTANTIATE_TEST_SUITE_P(Framing, SafetensorsHostile, testing::ValuesIn(framing_faults()),
                         kHostileName);
INSTANTIATE_TEST_SUITE_P(Grammar, SafetensorsHostile, testing::ValuesIn(grammar_faults()),
                         kHostileName);
INSTANTIATE_TEST_SUITE_P(Layout, SafetensorsHostile, testing::ValuesIn(layout_faults()),
                         kHostileName);

TEST(SafetensorsParse, EveryTruncationAndEveryFlippedByteIsRefusedOrReadWithinBounds) {
  const std::string good =
      file_with("{\"__metadata__\":{\"k\":\"v\"}," + tensor("ab", "F32", "[2,1]", "[0,8]") + "," +
                    tensor("c", "U8", "[3]", "[8,11]") + "}",
                11);
  ASSERT_EQ(parse(good).entries.size(), 2u);
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(error_of(good.substr(0, size)), "no error") << size;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int flip : {1, 0x20, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      error_of(bad);  // an uncaught exception or a sanitizer is the failure
    }
}

// Interchange with the reference implementation, where there is a Python that has it.
TEST_F(SafetensorsTest, ThePythonPackageReadsOurFilesAndWeReadIts) {
  const char* python = std::getenv("KILN_PEER_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "KILN_PEER_PYTHON names no Python with safetensors";
  const std::string quiet = " >/dev/null 2>&1";
  if (std::system((std::string(python) + " -c 'import numpy, safetensors'" + quiet).c_str()) != 0)
    GTEST_SKIP() << python << " has no safetensors and numpy";

  const std::vector<float> weights = {1.5f, -2.25f, 3.0f, 0.0f, 1e-30f, 7.0f};
  const std::vector<std::int64_t> count = {12345678901};
  const std::vector<std::uint8_t> odd = {1, 2, 3};
  const SafetensorsEntry entries[] = {{"net.weight", DType::f32, {2, 3}, bytes_of(weights)},
                                      {"count", DType::i64, {}, bytes_of(count)},
                                      {"odd", DType::u8, {3}, bytes_of(odd)}};
  write_safetensors(folder() / "ours", entries, {{"format", "pt"}});
  const std::string script = std::string(std::getenv("KILN_SOURCE_DIR")) +
                             "/tests/models/safetensors_peer.py " + (folder() / "ours").string() +
                             " " + (folder() / "theirs").string();
  ASSERT_EQ(std::system((std::string(python) + " " + script).c_str()), 0);

  const SafetensorsFile theirs(folder() / "theirs");
  EXPECT_EQ(theirs.metadata().at("format"), "pt");
  for (const SafetensorsEntry& wanted : entries) {
    const SafetensorsEntry& got = theirs.at(wanted.name, wanted.dtype, wanted.shape);
    EXPECT_EQ(std::memcmp(got.bytes.data(), wanted.bytes.data(), wanted.bytes.size()), 0);
  }
}

}  // namespace
}  // namespace kiln
