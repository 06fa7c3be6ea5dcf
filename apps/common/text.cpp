#include "apps/common/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"

namespace kiln {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::string cut(std::string_view text, std::size_t width) {
  std::string out = printable(text, 4096);
  std::size_t characters = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    if (begins_character(out[i]) && characters++ == width) {
      out.resize(i);
      break;
    }
  return out;
}

}  // namespace

std::string grouped_text(std::int64_t value) {
  std::string digits = std::to_string(value);
  const int begin = value < 0 ? 1 : 0;
  for (int at = static_cast<int>(digits.size()) - 3; at > begin; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string fixed_text(double value, int digits) {
  char text[400];
  const int length = std::snprintf(text, sizeof text, "%.*f", digits, value);
  return {text, static_cast<std::size_t>(length)};
}

std::string percent_text(double fraction, int digits) {
  return fixed_text(100.0 * fraction, digits) + " %";
}

std::string bytes_text(std::size_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < std::size(kUnits)) {
    value /= 1024.0;
    ++unit;
  }
  return fixed_text(value, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string left(std::string_view text, std::size_t width) {
  std::string out = cut(text, width);
  return out.append(width - width_of(out), ' ');
}

std::string right(std::string_view text, std::size_t width) {
  const std::string out = cut(text, width);
  return std::string(width - width_of(out), ' ') + out;
}

bool terminal_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string text = value;
    std::ranges::transform(text, text.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    return text.find("utf-8") != text.npos || text.find("utf8") != text.npos;
  }
  return false;
}

std::string bar(double fraction, int width, bool unicode) {
  // One eighth of a cell at a time: U+258F (1/8) to U+2588 (full).
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double cells = std::clamp(std::isfinite(fraction) ? fraction : 0.0, 0.0, 1.0) * width;
  const int steps = static_cast<int>(std::lround(cells * (unicode ? 8 : 1)));
  const int full = unicode ? steps / 8 : steps;
  std::string out;
  for (int i = 0; i < full; ++i) out += unicode ? "█" : "#";
  if (unicode) out += kEighths[steps % 8];
  return out;
}

}  // namespace kiln
