// All the requests of a connection's bytes, fed in pieces of one size.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/http/http_parser.h"

namespace kiln::http {

struct Parsed {
  std::string answers;  // "200,400": 200 for a whole request, or the refusal; "wait" for the rest
  std::string bodies;   // one after another
};

inline Parsed parse_all(std::string_view bytes, std::size_t piece, const HttpLimits& limits = {}) {
  HttpParser parser(limits);
  Parsed parsed;
  const auto answer = [&](const std::string& text) {
    parsed.answers += (parsed.answers.empty() ? "" : ",") + text;
  };
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t taken = parser.feed(bytes.substr(at, std::min(piece, bytes.size() - at)));
    at += taken;
    if (parser.state() == HttpParser::State::refused) {
      answer(std::to_string(parser.refusal().status));
      return parsed;
    }
    if (parser.state() != HttpParser::State::complete) continue;
    answer("200");
    parsed.bodies += parser.body().view();
    if (!parser.header().keep_alive) return parsed;
    parser.next();
  }
  if (parser.state() != HttpParser::State::empty) answer("wait");
  return parsed;
}

}  // namespace kiln::http
