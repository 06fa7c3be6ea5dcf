// What is refused beyond what the parser refuses: cases that other readers take differently.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "engine/http/http_parser.h"

namespace kiln::http {

// Looks at a header while its bytes come in, one byte a call.
class HeaderScan {
 public:
  // `header` is the whole of it so far; only its last byte is new.
  std::optional<HttpRefusal> add(std::string_view header, std::size_t field_limit);
  // Has the empty line been seen?
  bool at_end() const { return at_end_; }

 private:
  std::size_t line_start_ = 0;
  std::size_t line_count_ = 0;
  bool at_end_ = false;
};

// Judges a whole header. One Host, one Content-Length of digits, `chunked` alone and never beside a
// length, no compressed body.
std::optional<HttpRefusal> gate(const HttpHeader& header, bool version_11,
                                const HttpLimits& limits);

}  // namespace kiln::http
