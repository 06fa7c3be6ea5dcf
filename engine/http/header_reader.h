// The header of a request, line by line as its bytes come in.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/http/http_parser.h"

namespace kiln::http {

class HeaderReader {
 public:
  explicit HeaderReader(std::size_t field_limit) : field_limit_(field_limit) {}

  // `bytes` is all that came of the header so far, of which the last call saw the first `seen`.
  // Tells the first fault, in the order of the bytes.
  std::optional<HttpRefusal> read(std::string_view bytes, std::size_t seen);
  // The header's length with its empty line; 0 while that is still to come.
  std::size_t end() const { return end_; }
  bool version_11() const { return version_11_; }
  HttpHeader& header() { return header_; }
  const HttpHeader& header() const { return header_; }
  // Ready for the next header; strings keep their memory.
  void next();

 private:
  std::optional<HttpRefusal> read_line(std::string_view line);
  std::optional<HttpRefusal> read_request_line(std::string_view line);
  std::optional<HttpRefusal> read_field(std::string_view line);

  std::size_t field_limit_;
  HttpHeader header_;
  std::vector<HttpField> spare_;  // of the last header, for their memory
  std::size_t line_start_ = 0;
  std::size_t line_count_ = 0;
  std::size_t end_ = 0;
  bool version_11_ = false;
};

}  // namespace kiln::http
