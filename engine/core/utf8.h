// UTF-8, as text that leaves the program has to be.
#pragma once

#include <cstddef>
#include <string_view>

namespace kiln {

// Stands in the place of bytes that are no UTF-8.
inline constexpr std::string_view kReplacementCharacter = "\uFFFD";

// Length of the UTF-8 sequence at the front of `text`, which is not empty; 0 where there is none:
// neither overlong forms nor surrogates count. Source: Unicode 15, table 3-7.
std::size_t utf8_length(std::string_view text);

}  // namespace kiln
