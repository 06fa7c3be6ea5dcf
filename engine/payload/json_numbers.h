// Nested lists of numbers out of JSON, in one sweep and without a tree.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/payload/decode_detail.h"
#include "engine/payload/json_reader.h"

namespace kiln::payload::detail {

// What the numbers of a list are.
enum class JsonNumbersAre {
  told_by_writing,  // pixels, unless one of them has a fraction or an exponent
  pixels,           // within 0 to 255, rounded to the nearest
  integers,         // whole pixels 0 to 255
  values,           // what the network sees
};

// As the lists hold them, the last axis first. One of the two vectors is filled.
struct JsonNumbers {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> bytes;
  std::vector<float> values;
};

struct JsonNumbersLimits {
  std::size_t count = 0;  // of numbers
  std::string too_many;   // what a Refusal says of more: "holds more than 4 pictures"
  int status = 413;       // of that Refusal
};

// Reads the list that comes next, up to four lists deep. Refuses lists of different lengths at one
// depth and anything but numbers with the place; numbers beyond the limit before memory is taken
// for them.
JsonNumbers read_json_numbers(JsonReader& reader, JsonNumbersAre are,
                              const JsonNumbersLimits& limits);

// Numbers in the order of an array into [N, H, W, C].
Pictures arrange(JsonNumbers&& numbers, const ArrayLayout& layout, const PictureShape& shape);

}  // namespace kiln::payload::detail
