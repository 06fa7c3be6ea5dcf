// Kinds of characters of RFC 9110 and 9112.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace kiln::http {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alphanumeric(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

namespace detail {

// A bit for each question that is asked of every byte.
constexpr std::array<unsigned char, 256> make_kinds() {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  std::array<unsigned char, 256> kinds{};
  for (int i = 0; i < 256; ++i) {
    const char c = static_cast<char>(i);
    const bool token = is_alphanumeric(c) || kMarks.find(c) != kMarks.npos;
    const bool text = c == '\t' || (i >= ' ' && i != 0x7f);
    kinds[i] = static_cast<unsigned char>((token ? 1 : 0) | (text ? 2 : 0));
  }
  return kinds;
}
inline constexpr std::array<unsigned char, 256> kKinds = make_kinds();

}  // namespace detail

// May stand in a method or in a field's name.
constexpr bool is_token(char c) { return (detail::kKinds[static_cast<unsigned char>(c)] & 1) != 0; }
// May stand in a field's value.
constexpr bool is_text(char c) { return (detail::kKinds[static_cast<unsigned char>(c)] & 2) != 0; }

inline bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is_token(c); });
}

inline bool same_letters(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace kiln::http
