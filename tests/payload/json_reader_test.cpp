#include "engine/payload/json_reader.h"

#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "engine/payload/json_writer.h"
#include "engine/payload/refusal.h"

namespace kiln::payload {
namespace {

using testing::HasSubstr;

std::string string_of(std::string_view text) {
  JsonReader reader(text);
  std::string value(reader.string());
  reader.end();
  return value;
}

// What is said of a document; empty where it is taken.
std::string fault_of(std::string_view text) {
  try {
    JsonReader reader(text);
    reader.skip();
    reader.end();
    return {};
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status(), 400);
    return refusal.what();
  }
}

// Python's json.loads takes each of these, and parse_constant was called for none.
TEST(JsonReader, TakesWhatTheGrammarAllows) {
  for (const char* text : {"0",
                           "-0",
                           "10",
                           "-1.5e+10",
                           "1E-2",
                           "0.0",
                           "true",
                           "false",
                           "null",
                           "\"\"",
                           "[]",
                           "{}",
                           " [ 1 , 2 ] ",
                           "\t{\"a\" : [ ] , \"b\":{}}\r\n",
                           R"("\"\\\/\b\f\n\r\t\u00e9")",
                           "\"\x7F\"",
                           "[[[[[[[[]]]]]]]]",
                           R"({"a":1,"a":2})",
                           "1e999",
                           "\"\xF4\x8F\xBF\xBF\""})
    EXPECT_EQ(fault_of(text), "") << text;
}

struct Hostile {
  std::string text;
  const char* fault;
};

TEST(JsonReader, RefusesWhatTheGrammarDoesNotAllowWithTheByte) {
  const std::vector<Hostile> table = {
      {"", "byte 0: the text ends"},
      {"  ", "byte 2: the text ends"},
      {"01", "byte 0: a number has a leading zero"},
      {"-01", "byte 0: a number has a leading zero"},
      {"+1", "byte 0: no value"},
      {".5", "byte 0: no value"},
      {"5.", "byte 2: a digit"},
      {"1e", "byte 2: a digit"},
      {"1e+", "byte 3: a digit"},
      {"-", "byte 1: a digit"},
      {"--1", "byte 1: a digit"},
      {"0x10", "byte 1: something follows"},
      {"NaN", "byte 0: no value"},
      {"nan", "byte 0: no value"},
      {"Infinity", "byte 0: no value"},
      {"-Infinity", "byte 1: a digit"},
      {"tru", "byte 0: no value"},
      {"[1,]", "byte 3: no value"},
      {"[,1]", "byte 1: no value"},
      {"[1 2]", "byte 3: neither"},
      {"[1", "byte 2: the text ends"},
      {"[1}", "byte 2: neither"},
      {"{\"a\":1,}", "byte 7: a key"},
      {"{a:1}", "byte 1: a key"},
      {"{\"a\" 1}", "byte 5: `:`"},
      {"{\"a\":}", "byte 5: no value"},
      {"[1] []", "byte 4: something follows"},
      {"// c\n1", "byte 0: no value"},
      {"'a'", "byte 0: no value"},
      {"\xEF\xBB\xBF[]", "byte 0: no value"},
      {"\"a", "byte 2: the text ends within a string"},
      {"\"a\nb\"", "byte 2: a control character"},
      {std::string("\"\0\"", 3), "byte 1: a control character"},
      {R"("\x")", "byte 1: a string has an unknown escape"},
      {R"("\u12g4")", "byte 3: four hexadecimal"},
      {R"("\u-123")", "byte 3: four hexadecimal"},
      {R"("\u12)", "four hexadecimal"},
      {R"("\ud800")", "byte 1: a surrogate"},
      {R"("\ud800\u0041")", "byte 1: a surrogate"},
      {R"("\udc00")", "byte 1: a surrogate"},
      {"\"\\", "byte 1: a string has an unknown escape"},
      {"\"\x80\"", "byte 1: a string is not UTF-8"},
      {"\"\xC0\x80\"", "byte 1: a string is not UTF-8"},
      {"\"\xC3\"", "byte 1: a string is not UTF-8"},
      {"\"\xE0\x80\x80\"", "byte 1: a string is not UTF-8"},
      {"\"\xED\xA0\x80\"", "byte 1: a string is not UTF-8"},
      {"\"\xF4\x90\x80\x80\"", "byte 1: a string is not UTF-8"},
      {"\"\xF5\x80\x80\x80\"", "byte 1: a string is not UTF-8"},
      {"[[[[[[[[[]]]]]]]]]", "byte 8: lists and objects are nested deeper than 8"},
      {std::string(1 << 16, '['), "byte 8: lists and objects are nested deeper than 8"},
  };
  for (const Hostile& hostile : table)
    EXPECT_THAT(fault_of(hostile.text), HasSubstr(hostile.fault)) << hostile.text.substr(0, 40);
}

TEST(JsonReader, ResolvesEscapes) {
  EXPECT_EQ(string_of(R"("a\"\\\/\b\f\n\r\tz")"), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(string_of(R"("\u0041\u00e9\u20AC\ud83d\ude00")"),
            "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(string_of(R"("\u0000")"), std::string(1, '\0'));
}

TEST(JsonReader, WalksMembersAndElements) {
  JsonReader reader(R"({"n": -7, "list": [true, null, "x"], "rest": {"a": [1]}})");
  std::string_view key;
  reader.enter_object();
  ASSERT_TRUE(reader.next_member(key));
  EXPECT_EQ(key, "n");
  EXPECT_EQ(reader.integer(), -7);
  ASSERT_TRUE(reader.next_member(key));
  reader.enter_array();
  ASSERT_TRUE(reader.next_element());
  EXPECT_TRUE(reader.boolean());
  ASSERT_TRUE(reader.next_element());
  reader.null();
  ASSERT_TRUE(reader.next_element());
  EXPECT_EQ(reader.string(), "x");
  EXPECT_FALSE(reader.next_element());
  ASSERT_TRUE(reader.next_member(key));
  EXPECT_EQ(key, "rest");
  reader.skip();
  EXPECT_FALSE(reader.next_member(key));
  reader.end();
  EXPECT_EQ(reader.rest(), "");
}

TEST(JsonReader, IntegersAreWholeAndFit) {
  EXPECT_EQ(JsonReader("-9223372036854775808").integer(), INT64_MIN);
  for (const char* text : {"9223372036854775808", "1.0", "1e2"})
    EXPECT_THROW(JsonReader(text).integer(), Refusal) << text;
}

TEST(JsonReader, TooSmallIsZeroTooLargeIsNothing) {
  EXPECT_EQ(json_float("1e-999"), 0.0f);
  EXPECT_EQ(json_float("0.000e999999999999999999999"), 0.0f);
  EXPECT_EQ(json_float("-2e-50"), -0.0f);
  EXPECT_EQ(json_float("1e39"), std::nullopt);
  EXPECT_EQ(json_float("3.4028235e38"), 3.4028235e38f);
  EXPECT_EQ(json_double("-1e999999999999999999999"), std::nullopt);
  EXPECT_EQ(json_double("1e-99999999999999999999"), 0.0);
}

TEST(JsonWriter, WritesWhatReadersTake) {
  std::string text;
  append_json_string(text, "a\"\\\n\x01\xC3\xA9/");
  EXPECT_EQ(text, "\"a\\\"\\\\\\u000a\\u0001\xC3\xA9/\"");
  EXPECT_EQ(string_of(text), "a\"\\\n\x01\xC3\xA9/");
  text.clear();
  append_json_integers(text, std::vector<std::int64_t>{-1, 3});
  append_json_integers(text, {});
  append_json_floats(text, std::vector<float>{0.1f, -2, 1e30f, INFINITY, NAN});
  EXPECT_EQ(text, "[-1,3][][0.1,-2,1e+30,null,null]");
}

}  // namespace
}  // namespace kiln::payload
