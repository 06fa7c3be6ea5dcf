#include "engine/report/html_text.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "engine/core/utf8.h"

namespace kiln {
namespace {

constexpr std::string_view kThinSpace = "\u202F";  // and no line break

std::string_view escaped(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      break;
  }
  const auto u = static_cast<unsigned char>(c);
  const bool forbidden = (u < 0x20 && c != '\n' && c != '\t') || u == 0x7F;
  return forbidden ? kReplacementCharacter : std::string_view();
}

std::string print(const char* format, int digit_count, double value) {
  if (!std::isfinite(value)) return std::string(kNoNumber);
  std::array<char, 400> text{};  // the largest double has 309 digits before the point
  std::snprintf(text.data(), text.size(), format, digit_count, value);
  return text.data();
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view special = length == 1 ? escaped(text[0]) : std::string_view();
    if (length == 0) {
      out += kReplacementCharacter;
    } else {
      out += special.empty() ? text.substr(0, length) : special;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string markup(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

std::string fixed(double value, int digit_count) { return print("%.*f", digit_count, value); }

std::string significant(double value, int digit_count) { return print("%.*g", digit_count, value); }

std::string percent(double fraction, int digit_count) {
  if (!std::isfinite(fraction)) return std::string(kNoNumber);
  return markup({fixed(100.0 * fraction, digit_count), kThinSpace, "%"});
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0 || seconds > 1e12) return std::string(kNoNumber);
  if (seconds < 99.95) return markup({fixed(seconds, 1), kThinSpace, "s"});
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  std::array<char, 64> text{};
  if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%lld min %02lld s", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lld h %02lld min",
                  static_cast<long long>(whole / 3600), static_cast<long long>(whole / 60 % 60));
  }
  return text.data();
}

}  // namespace kiln
