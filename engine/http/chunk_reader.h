// A body in chunks (RFC 9112, section 7.1) without trailer fields and quoted extensions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/http_parser.h"

namespace kiln::http {

class ChunkReader {
 public:
  explicit ChunkReader(const HttpLimits& limits) : limits_(limits) {}

  // Takes bytes up to the body's end, puts what they carry behind `body`; returns their count.
  std::size_t feed(std::string_view bytes, std::string& body);
  bool complete() const { return complete_; }
  const std::optional<HttpRefusal>& refusal() const { return refusal_; }

 private:
  enum class Part { line, data, data_end, last_line };

  std::size_t feed_line(std::string_view bytes, const std::string& body);
  void read_line(const std::string& body);
  std::size_t feed_line_end(std::string_view bytes);
  void refuse(int status, std::string_view reason) { refusal_ = HttpRefusal{status, reason}; }

  HttpLimits limits_;
  Part part_ = Part::line;
  std::string line_;          // a chunk's line so far
  std::size_t end_seen_ = 0;  // bytes of the CR LF that ends the data or the body
  std::size_t left_ = 0;      // bytes of the chunk that are still to come
  std::size_t count_ = 0;     // chunks, the last one of length 0 too
  bool complete_ = false;
  std::optional<HttpRefusal> refusal_;
};

}  // namespace kiln::http
