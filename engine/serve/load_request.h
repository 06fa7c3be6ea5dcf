// What SageMaker's multi-model endpoints ask for: names of models in paths, and the body of POST
// /models.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kiln::serve {

inline constexpr std::size_t kMostNameBytes = 1024;

// {"model_name": "...", "url": "..."}
struct LoadRequest {
  std::string name, url;  // name: any text of 1 to kMostNameBytes bytes
};

// Reads over members that it does not know. Throws payload::Refusal (400).
LoadRequest read_load_request(std::string_view body);

// "%2F" to "/", for paths and queries; a plus stays one. nullopt where two digits do not follow a
// percent sign.
std::optional<std::string> decode_percent(std::string_view text);

// limit and next_page_token of GET /models. A token is the hexadecimal name that a page ends with.
struct PageRequest {
  static constexpr std::size_t kMostLimit = 100;
  std::size_t limit = kMostLimit;
  std::string after;  // names behind this one; empty: from the beginning
};

// `query`: what follows the question mark. Throws payload::Refusal (400).
PageRequest read_page_request(std::string_view query);
std::string page_token(std::string_view name);

}  // namespace kiln::serve
