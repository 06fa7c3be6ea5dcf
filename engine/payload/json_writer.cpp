#include "engine/payload/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

namespace kiln::payload {
namespace {

template <class T>
void append_number(std::string& out, T number) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

void append_escape(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(c);
  out += "\\u00";
  out += kDigits[code >> 4];
  out += kDigits[code & 0xFu];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      append_escape(out, c);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += '"';
}

void append_json_integers(std::string& out, std::span<const std::int64_t> numbers) {
  out += '[';
  for (const std::int64_t number : numbers) {
    if (out.back() != '[') out += ',';
    append_number(out, number);
  }
  out += ']';
}

void append_json_floats(std::string& out, std::span<const float> numbers) {
  out += '[';
  for (const float number : numbers) {
    if (out.back() != '[') out += ',';
    if (std::isfinite(number))
      append_number(out, number);
    else
      out += "null";
  }
  out += ']';
}

}  // namespace kiln::payload
