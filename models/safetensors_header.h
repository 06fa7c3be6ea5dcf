// The JSON header of a safetensors file, taken apart but not yet compared with the data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/safetensors.h"

namespace kiln {

inline constexpr const char* kSafetensorsMetadataKey = "__metadata__";

struct SafetensorsHeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;  // at most Shape::kMaxRank extents
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsHeaderEntry> entries;  // in the file's order, names not yet compared
  SafetensorsMetadata metadata;
};

// Takes exactly the format's grammar: another key, another nesting, a fraction or a negative number
// is refused where it stands, so depth and memory are bounded by the text. Throws Error (input).
SafetensorsHeader parse_safetensors_header(std::string_view text, std::string_view thing);

}  // namespace kiln
