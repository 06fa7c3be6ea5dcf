// JSON documents from files that people and other programs wrote.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace kiln {

// Deepest nesting taken; writing a document back is recursive, so its depth must be bounded.
inline constexpr int kJsonDepthLimit = 64;

// One JSON document in UTF-8, without repeated keys in one object. `thing` names the file in
// errors. Throws Error (input).
nlohmann::json parse_json_strict(std::string_view text, std::string_view thing);

}  // namespace kiln
