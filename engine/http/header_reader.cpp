#include "engine/http/header_reader.h"

#include <algorithm>
#include <utility>

#include "engine/http/http_chars.h"

namespace kiln::http {
namespace {

using Verdict = std::optional<HttpRefusal>;

constexpr HttpRefusal kLineEnd = {400, "a line does not end with CR LF"};

}  // namespace

Verdict HeaderReader::read(std::string_view bytes, std::size_t seen) {
  for (std::size_t i = seen; i < bytes.size() && end_ == 0;) {
    if (i == line_start_ && line_count_ > 0 && is_blank(bytes[i]))
      return HttpRefusal{400, "a header field is folded over two lines"};
    const bool after_return = i > line_start_ && bytes[i - 1] == '\r';
    if (!after_return) {
      while (i < bytes.size() && is_text(bytes[i])) ++i;
      if (i == bytes.size()) break;
      if (bytes[i] == '\n') return kLineEnd;
      if (bytes[i++] != '\r') return HttpRefusal{400, "the header holds a control character"};
      continue;
    }
    if (bytes[i] != '\n') return kLineEnd;
    if (const Verdict fault = read_line(bytes.substr(line_start_, i - 1 - line_start_)))
      return fault;
    line_start_ = ++i;
  }
  return {};
}

Verdict HeaderReader::read_line(std::string_view line) {
  if (line_count_++ == 0) return read_request_line(line);
  if (!line.empty()) return read_field(line);
  end_ = line_start_ + 2;
  return {};
}

// "GET /ping HTTP/1.1": three words, single spaces, a target that starts with '/'.
Verdict HeaderReader::read_request_line(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last || !is_token(line.substr(0, first)))
    return HttpRefusal{400, "the request line is malformed"};
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.empty() || target.front() != '/' ||
      !std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return HttpRefusal{400, "the request target is malformed"};
  const std::string_view version = line.substr(last + 1);
  version_11_ = version == "HTTP/1.1";
  if (!version_11_ && version != "HTTP/1.0") {
    const bool other = version.size() == 8 && version.starts_with("HTTP/") &&
                       is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
    if (other) return HttpRefusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken"};
    return HttpRefusal{400, "the request line is malformed"};
  }
  header_.method.assign(line.substr(0, first));
  header_.target.assign(target);
  return {};
}

Verdict HeaderReader::read_field(std::string_view line) {
  if (header_.fields.size() == field_limit_)
    return HttpRefusal{431, "the request has too many header fields"};
  const std::size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon)))
    return HttpRefusal{400, "a header field is malformed"};
  const std::size_t index = header_.fields.size();
  if (index < spare_.size())
    header_.fields.push_back(std::move(spare_[index]));
  else
    header_.fields.emplace_back();
  header_.fields.back().name.assign(line.substr(0, colon));
  header_.fields.back().value.assign(trimmed(line.substr(colon + 1)));
  return {};
}

void HeaderReader::next() {
  spare_.swap(header_.fields);
  header_.fields.clear();
  header_.method.clear();
  header_.target.clear();
  header_.keep_alive = true;
  header_.expects_continue = false;
  line_start_ = line_count_ = end_ = 0;
}

}  // namespace kiln::http
