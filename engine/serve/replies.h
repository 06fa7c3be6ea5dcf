// Replies that several routes give.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "engine/http/http_server.h"

namespace kiln::serve {

inline http::HttpReply json_reply(int status, std::string body) {
  return {.status = status, .body = std::move(body), .fields = {}};
}

inline http::HttpReply wrong_method(std::string_view allowed) {
  http::HttpReply reply = http::error_reply(405, "this path takes " + std::string(allowed));
  reply.fields.push_back({"Allow", std::string(allowed)});
  return reply;
}

// `make` for GET and HEAD, 405 for the rest.
template <class Make>
http::HttpReply only_get(const http::HttpRequest& request, const Make& make) {
  const bool is_get = request.header.method == "GET" || request.header.method == "HEAD";
  return is_get ? make() : wrong_method("GET, HEAD");
}

}  // namespace kiln::serve
