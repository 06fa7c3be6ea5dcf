#include "engine/http/http_gate.h"

#include <algorithm>

namespace kiln::http {
namespace {

using Verdict = std::optional<HttpRefusal>;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "GET /ping HTTP/1.1": three words, single spaces, a target that starts with '/'.
Verdict judge_request_line(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == 0 || first == last)
    return HttpRefusal{400, "the request line is malformed"};
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.empty() || target.front() != '/' ||
      !std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return HttpRefusal{400, "the request target is malformed"};
  const std::string_view version = line.substr(last + 1);
  if (version == "HTTP/1.1" || version == "HTTP/1.0") return {};
  if (version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
      version[6] == '.' && is_digit(version[7]))
    return HttpRefusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken"};
  return HttpRefusal{400, "the request line is malformed"};
}

bool host_character(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
         std::string_view("-._~:[]%").find(c) != std::string_view::npos;
}

struct Framing {
  std::size_t hosts = 0, lengths = 0, encodings = 0;
  bool host_good = true, length_good = true, encoding_good = true;
};

Framing framing_of(const HttpHeader& header) {
  Framing f;
  for (const HttpField& field : header.fields) {
    const std::string_view value = field.value;
    if (same_letters(field.name, "Host")) {
      ++f.hosts;
      f.host_good = !value.empty() && std::all_of(value.begin(), value.end(), host_character);
    } else if (same_letters(field.name, "Content-Length")) {
      ++f.lengths;
      f.length_good = !value.empty() && std::all_of(value.begin(), value.end(), is_digit);
    } else if (same_letters(field.name, "Transfer-Encoding")) {
      ++f.encodings;
      f.encoding_good = same_letters(value, "chunked");
    }
  }
  return f;
}

}  // namespace

Verdict HeaderScan::add(std::string_view header, std::size_t field_limit) {
  const char c = header.back();
  const bool line_begins = header.size() - 1 == line_start_;
  if (line_begins && line_count_ > 0 && (c == ' ' || c == '\t'))
    return HttpRefusal{400, "a header field is folded over two lines"};
  const bool after_return = !line_begins && header[header.size() - 2] == '\r';
  if (after_return != (c == '\n')) return HttpRefusal{400, "a line does not end with CR LF"};
  const auto code = static_cast<unsigned char>(c);
  if ((code < ' ' && c != '\t' && c != '\r' && c != '\n') || code == 0x7f)
    return HttpRefusal{400, "the header holds a control character"};
  if (c != '\n') return {};

  const std::string_view line = header.substr(line_start_, header.size() - 2 - line_start_);
  line_start_ = header.size();
  if (line_count_++ == 0) return judge_request_line(line);
  at_end_ = line.empty();
  if (!at_end_ && line_count_ - 1 > field_limit)
    return HttpRefusal{431, "the request has too many header fields"};
  return {};
}

Verdict gate(const HttpHeader& header, bool version_11, const HttpLimits& limits) {
  const Framing f = framing_of(header);
  if (header.fields.size() > limits.field_count)
    return HttpRefusal{431, "the request has too many header fields"};
  if (f.hosts > 1 || !f.host_good || (version_11 && f.hosts == 0))
    return HttpRefusal{400, "the request needs exactly one valid Host"};
  if (f.encodings > 0 && (f.lengths > 0 || !version_11 || f.encodings > 1))
    return HttpRefusal{400, "the request's Transfer-Encoding is ambiguous"};
  if (!f.encoding_good) return HttpRefusal{501, "the only Transfer-Encoding taken is chunked"};
  if (f.lengths > 1 || !f.length_good)
    return HttpRefusal{400, "the request needs one Content-Length of digits"};
  const std::string_view expect = header.field("Expect");
  if (version_11 && !expect.empty() && !same_letters(expect, "100-continue"))
    return HttpRefusal{417, "the only Expect taken is 100-continue"};
  const std::string_view coding = header.field("Content-Encoding");
  if (!coding.empty() && !same_letters(coding, "identity"))
    return HttpRefusal{415, "compressed bodies are not taken"};
  return {};
}

std::string_view HttpHeader::field(std::string_view name) const {
  for (const HttpField& f : fields)
    if (same_letters(f.name, name)) return f.value;
  return {};
}

}  // namespace kiln::http
