#include "engine/payload/encode.h"

#include <bit>
#include <gtest/gtest.h>
#include <limits>
#include <sstream>
#include <vector>

#include "tests/payload/support.h"

namespace kiln::payload {
namespace {

constexpr ReplyType kJson{.format = ReplyFormat::json}, kCsv{.format = ReplyFormat::csv};

TEST(ReplyType, IsTheFirstOfTheListThatIsWrittenHere) {
  const struct {
    const char *accept, *expected;
  } table[] = {
      {"", "application/json"},
      {" , ", "application/json"},
      {"*/*", "application/json"},
      {"application/*", "application/json"},
      {"text/*", "text/csv"},
      {"text/csv", "text/csv"},
      {"TEXT/CSV; charset=utf-8", "text/csv"},
      {"application/x-npy", "application/x-npy"},
      {"application/x-npy; dtype=float64", "application/x-npy"},
      {"application/x-npy; dtype=float32", "application/x-npy single"},
      {"application/x-npy; dtype=int8", "-"},
      {"application/x-npy; dtype=int8, text/csv", "text/csv"},
      {"image/png, text/csv, application/json", "text/csv"},
      {"text/csv;q=0.1, application/json", "text/csv"},
      {"text/csv;q=0, application/json", "application/json"},
      {"application/json;q=0, */*", "application/x-npy"},
      {"*/*, application/json;q=0, application/x-npy;q=0", "text/csv"},
      {"application/*;q=0, */*", "text/csv"},
      {"application/*;q=0, application/json", "application/json"},
      {"*/*;q=0, text/csv", "text/csv"},
      {"text/csv;q=0", "-"},
      {"*/*;q=0", "-"},
      {"image/*", "-"},
      {"*/json", "-"},
      {"nonsense", "-"},
      {"tensor/pt, application/octet-stream", "-"},
  };
  for (const auto& [accept, expected] : table) {
    const auto type = choose_reply_type(accept);
    const std::string got =
        type ? std::string(type->content_type()) + (type->single ? " single" : "") : "-";
    EXPECT_EQ(got, expected) << accept;
  }
}

TEST(ReplyType, AClientThatTakesAnythingGetsTheDefault) {
  const ReplyType npy{.format = ReplyFormat::npy, .single = true};
  const struct {
    const char *accept, *expected;
  } table[] = {
      {"", "application/x-npy"},
      {"*/*", "application/x-npy"},
      {"*/*;q=0.8", "application/x-npy"},
      {"text/html, image/jpeg, */*; q=.2", "application/x-npy"},
      {"application/*", "application/json"},
      {"text/csv, */*", "text/csv"},
      {"*/*, application/x-npy;q=0", "application/json"},
      {"*/*;q=0", "-"},
  };
  for (const auto& [accept, expected] : table) {
    const auto type = choose_reply_type(accept, npy);
    EXPECT_EQ(type ? type->content_type() : "-", expected) << accept;
    EXPECT_EQ(type && type->single, type && type->format == ReplyFormat::npy) << accept;
  }
}

TEST(EncodeOutputs, DigitsAreThoseOfPython) {
  std::istringstream lines(test::source_file("tests/payload/golden/digits.txt"));
  std::uint32_t bits = 0;
  std::string expected;
  int count = 0;
  for (; lines >> std::hex >> bits >> expected; ++count) {
    const float value = std::bit_cast<float>(bits);
    EXPECT_EQ(encode_outputs({&value, 1}, 1, 1, kCsv), expected + "\n");
    EXPECT_EQ(encode_outputs({&value, 1}, 1, 1, kJson), "[[" + expected + "]]");
  }
  EXPECT_GE(count, 200);
}

TEST(EncodeOutputs, WritesRowsAsPythonDoes) {
  const std::vector<float> values = {1, 0.5f, -2, 0.25f, 3, 1e-5f};
  EXPECT_EQ(encode_outputs(values, 2, 3, kJson),
            "[[1.0, 0.5, -2.0], [0.25, 3.0, 9.999999747378752e-06]]");
  EXPECT_EQ(encode_outputs(values, 3, 2, kJson, true),
            "{\"predictions\": [[1.0, 0.5], [-2.0, 0.25], [3.0, 9.999999747378752e-06]]}");
  EXPECT_EQ(encode_outputs(values, 2, 3, kCsv), "1.0,0.5,-2.0\n0.25,3.0,9.999999747378752e-06\n");
  EXPECT_EQ(encode_outputs({}, 0, 3, kJson), "[]");
  EXPECT_EQ(encode_outputs({}, 0, 3, kCsv), "");
}

TEST(EncodeOutputs, WhatIsNotFiniteIsNullInJsonAndNamedInCsv) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity};
  EXPECT_EQ(encode_outputs(values, 1, 3, kJson), "[[null, null, null]]");
  EXPECT_EQ(encode_outputs(values, 1, 3, kCsv), "nan,inf,-inf\n");
}

TEST(EncodeOutputs, NpyIsWhatNumPySaves) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int, int>>{{1, 10}, {2, 10}, {3, 1}, {100, 7}}) {
    std::vector<float> values;
    for (int i = 0; i < rows * columns; ++i) values.push_back(static_cast<float>(i / 7.0 - 1));
    for (const bool single : {false, true}) {
      const std::string name = "tests/payload/golden/reply_" + std::to_string(rows) + "x" +
                               std::to_string(columns) + (single ? "_f4.npy" : "_f8.npy");
      const ReplyType type{.format = ReplyFormat::npy, .single = single};
      EXPECT_EQ(encode_outputs(values, rows, columns, type), test::source_file(name)) << name;
    }
  }
}

}  // namespace
}  // namespace kiln::payload
