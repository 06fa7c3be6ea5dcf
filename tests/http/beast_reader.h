// A second reader of requests, Boost.Beast: what kiln takes it must take too, and see the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::http {

struct BeastRequest {
  std::string method, target, body;
  std::vector<std::string> fields;  // "name: value"
  bool keep_alive = false;
};

// Nothing where `bytes` are not exactly one whole request to Beast.
std::optional<BeastRequest> read_by_beast(std::string_view bytes);

// Feeds `bytes` to kiln's parser and tells the first way in which Beast sees the requests that it
// takes differently; empty where there is none.
std::string difference_from_beast(std::string_view bytes);

}  // namespace kiln::http
