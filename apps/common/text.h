// Numbers and names as people read them in a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kiln {

std::string grouped_text(std::int64_t value);               // 62006 -> "62,006"
std::string fixed_text(double value, int digits);           // 1.0237, 2 -> "1.02"
std::string percent_text(double fraction, int digits = 2);  // 0.6341 -> "63.41 %"
std::string bytes_text(std::size_t bytes);                  // 1536 -> "1.5 KiB"

// Characters, counting one for each code point of UTF-8.
std::size_t width_of(std::string_view text);
// `text` cut or filled with blanks to `width` characters; control characters are escaped.
std::string left(std::string_view text, std::size_t width);
std::string right(std::string_view text, std::size_t width);

// Whether the locale's character set is UTF-8, as LC_ALL, LC_CTYPE and LANG say.
bool terminal_is_utf8();
// A bar of `width` characters, filled for `fraction` in [0, 1].
std::string bar(double fraction, int width, bool unicode);

}  // namespace kiln
