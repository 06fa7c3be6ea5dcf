#include "tests/http/beast_reader.h"

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>

#include "engine/http/http_parser.h"

namespace kiln::http {
namespace {

std::string to_std(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string compare(const HttpHeader& ours, std::string_view body, BeastRequest theirs) {
  if (ours.method != theirs.method || ours.target != theirs.target) return "another request line";
  // To Beast, HTTP/1.0 with both `keep-alive` and `close` goes on; to end there is safe.
  if (ours.keep_alive && !theirs.keep_alive) return "another end of the connection";
  if (body != theirs.body) return "another body";
  std::vector<std::string> fields;
  for (const HttpField& field : ours.fields) fields.push_back(field.name + ": " + field.value);
  // Beast puts fields of one name side by side.
  std::sort(fields.begin(), fields.end());
  std::sort(theirs.fields.begin(), theirs.fields.end());
  return fields == theirs.fields ? "" : "other fields";
}

}  // namespace

std::optional<BeastRequest> read_by_beast(std::string_view bytes) {
  namespace http = boost::beast::http;
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(std::uint64_t{1} << 30);
  parser.header_limit(1 << 20);
  boost::beast::error_code error;
  std::size_t used = 0;
  while (used < bytes.size() && !parser.is_done()) {
    const std::size_t count =
        parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    if (error || count == 0) return std::nullopt;
    used += count;
  }
  if (!parser.is_done() || used != bytes.size()) return std::nullopt;
  const auto& message = parser.get();
  BeastRequest request{.method = to_std(message.method_string()),
                       .target = to_std(message.target()),
                       .body = message.body(),
                       .fields = {},
                       // The message would look at the first field Connection only.
                       .keep_alive = parser.keep_alive()};
  for (const auto& field : message)
    request.fields.push_back(to_std(field.name_string()) + ": " + to_std(field.value()));
  return request;
}

std::string difference_from_beast(std::string_view bytes) {
  HttpParser parser({.body_bytes = 1 << 20, .chunk_count = 1 << 16});
  while (!bytes.empty()) {
    const std::size_t taken = parser.feed(bytes);
    if (parser.state() != HttpParser::State::complete) return {};
    const auto theirs = read_by_beast(bytes.substr(0, taken));
    if (!theirs) return "refused, or of another length";
    if (std::string difference = compare(parser.header(), parser.body().view(), *theirs);
        !difference.empty())
      return difference;
    if (!parser.header().keep_alive) return {};
    parser.next();
    bytes.remove_prefix(taken);
  }
  return {};
}

}  // namespace kiln::http
