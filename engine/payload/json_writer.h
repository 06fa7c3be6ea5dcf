// Pieces of JSON, appended to a text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace kiln::payload {

// In quotes, with escapes where JSON wants them; `text` is UTF-8.
void append_json_string(std::string& out, std::string_view text);
// [1, -1, 3] without the spaces.
void append_json_integers(std::string& out, std::span<const std::int64_t> numbers);
// Like it; the shortest digits that read back as the same f32, null for what is not finite.
void append_json_floats(std::string& out, std::span<const float> numbers);

}  // namespace kiln::payload
