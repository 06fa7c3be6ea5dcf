#include "engine/serve/load_request.h"

#include <algorithm>
#include <charconv>

#include "engine/payload/json_reader.h"
#include "engine/payload/refusal.h"

namespace kiln::serve {
namespace {

using payload::Refusal;

std::optional<char> byte_of(std::string_view digits) {
  unsigned char value = 0;
  const char* end = digits.data() + digits.size();
  if (digits.size() != 2 || std::from_chars(digits.data(), end, value, 16).ptr != end)
    return std::nullopt;
  return static_cast<char>(value);
}

std::string name_of_token(std::string_view token) {
  std::string name;
  for (; !token.empty(); token.remove_prefix(2)) {
    const auto byte = byte_of(token.substr(0, 2));
    if (!byte) throw Refusal(400, "next_page_token: is none that was given here");
    name += *byte;
  }
  return name;
}

std::size_t read_limit(std::string_view text) {
  std::size_t limit = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (fault != std::errc() || end != text.data() + text.size() || limit == 0)
    throw Refusal(400, "limit: is no whole number from 1 up");
  return std::min(limit, PageRequest::kMostLimit);
}

}  // namespace

LoadRequest read_load_request(std::string_view body) {
  LoadRequest request;
  payload::JsonReader reader(body);
  reader.enter_object();
  std::string_view key;
  while (reader.next_member(key)) {
    std::string* const to = key == "model_name" ? &request.name
                            : key == "url"      ? &request.url
                                                : nullptr;
    if (to == nullptr) {
      reader.skip();
      continue;
    }
    if (!to->empty()) reader.refuse("says model_name or url twice");
    *to = reader.string();
  }
  reader.end();
  if (request.name.empty() || request.url.empty())
    throw Refusal(400, R"(the body must be {"model_name": "...", "url": "..."})");
  if (request.name.size() > kMostNameBytes)
    throw Refusal(400, "model_name: is longer than " + std::to_string(kMostNameBytes) + " bytes");
  return request;
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    const bool is_code = text.front() == '%';
    const auto byte = is_code ? byte_of(text.substr(1, 2)) : text.front();
    if (!byte) return std::nullopt;
    decoded += *byte;
    text.remove_prefix(is_code ? 3 : 1);
  }
  return decoded;
}

PageRequest read_page_request(std::string_view query) {
  PageRequest page;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::string_view key = pair.substr(0, pair.find('='));
    const std::string_view value = pair.substr(std::min(pair.size(), key.size() + 1));
    if (key == "limit") page.limit = read_limit(value);
    if (key == "next_page_token") page.after = name_of_token(value);
  }
  return page;
}

std::string page_token(std::string_view name) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string token;
  for (const char c : name) {
    const auto code = static_cast<unsigned char>(c);
    token += {kHex[code >> 4], kHex[code & 15]};
  }
  return token;
}

}  // namespace kiln::serve
