// Text for HTML: escaping, and numbers as people read them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace kiln {

// Text for element content and for quoted attributes. What is not UTF-8, and control characters
// that HTML forbids, become U+FFFD.
std::string escape_html(std::string_view text);

// The parts one behind the other. Parts are markup: escape what comes from outside first.
std::string markup(std::initializer_list<std::string_view> parts);

// What stands for a number that is not finite: an en dash.
inline constexpr std::string_view kNoNumber = "\u2013";

std::string fixed(double value, int digit_count);
std::string significant(double value, int digit_count);     // "%.{n}g": 0.001, 1e-05
std::string percent(double fraction, int digit_count = 1);  // "63.4 %", with a thin space
std::string grouped(std::int64_t value);                    // "62,006"
std::string duration(double seconds);                       // "4.8 s", "3 min 12 s", "2 h 05 min"

}  // namespace kiln
