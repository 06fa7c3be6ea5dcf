// What is refused of a header that is well formed: cases that other readers take differently.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/http/http_parser.h"

namespace kiln::http {

struct BodyFraming {
  bool chunked = false;
  std::uint64_t length = 0;  // where it is not chunked
};

// Judges a whole header and reads from it how the body comes and whether the connection lasts. One
// Host, one Content-Length of digits, `chunked` alone and never beside a length, no compressed
// body.
std::optional<HttpRefusal> gate(HttpHeader& header, bool version_11, const HttpLimits& limits,
                                BodyFraming& framing);

}  // namespace kiln::http
