#include "engine/http/http_gate.h"

#include <algorithm>
#include <charconv>

#include "engine/http/http_chars.h"

namespace kiln::http {
namespace {

using Verdict = std::optional<HttpRefusal>;

bool host_character(char c) {
  return is_alphanumeric(c) || std::string_view("-._~:[]%").find(c) != std::string_view::npos;
}

// What the fields of a header say that bears on where the request ends.
struct Framing {
  std::size_t hosts = 0, lengths = 0, encodings = 0;
  bool host_good = true, length_good = true, encoding_good = true, connection_good = true;
  bool close = false, keep_alive = false;
  std::uint64_t length = 0;
};

bool read_length(std::string_view text, std::uint64_t& length) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return error == std::errc() && end == text.data() + text.size();
}

// "close, keep-alive, x": tokens between commas; elements may be empty.
void read_connection(std::string_view list, Framing& f) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!word.empty() && !is_token(word)) f.connection_good = false;
    if (same_letters(word, "close")) f.close = true;
    if (same_letters(word, "keep-alive")) f.keep_alive = true;
  }
}

Framing framing_of(const HttpHeader& header) {
  Framing f;
  for (const HttpField& field : header.fields) {
    const std::string_view value = field.value;
    if (same_letters(field.name, "Host")) {
      ++f.hosts;
      f.host_good = !value.empty() && std::all_of(value.begin(), value.end(), host_character);
    } else if (same_letters(field.name, "Content-Length")) {
      ++f.lengths;
      f.length_good = read_length(value, f.length);
    } else if (same_letters(field.name, "Transfer-Encoding")) {
      ++f.encodings;
      f.encoding_good = same_letters(value, "chunked");
    } else if (same_letters(field.name, "Connection") ||
               same_letters(field.name, "Proxy-Connection")) {
      read_connection(value, f);
    }
  }
  return f;
}

Verdict judge_framing(const Framing& f, bool version_11, const HttpLimits& limits) {
  if (f.hosts > 1 || !f.host_good || (version_11 && f.hosts == 0))
    return HttpRefusal{400, "the request needs exactly one valid Host"};
  if (!f.connection_good) return HttpRefusal{400, "the field Connection is malformed"};
  if (f.encodings > 0 && (f.lengths > 0 || !version_11 || f.encodings > 1))
    return HttpRefusal{400, "the request's Transfer-Encoding is ambiguous"};
  if (!f.encoding_good) return HttpRefusal{501, "the only Transfer-Encoding taken is chunked"};
  if (f.lengths > 1 || !f.length_good)
    return HttpRefusal{400, "the request needs one Content-Length of digits"};
  if (f.length > limits.body_bytes) return HttpRefusal{413, "the body is larger than the limit"};
  return {};
}

}  // namespace

Verdict gate(HttpHeader& header, bool version_11, const HttpLimits& limits, BodyFraming& framing) {
  const Framing f = framing_of(header);
  if (const Verdict fault = judge_framing(f, version_11, limits)) return fault;
  const std::string_view expect = header.field("Expect");
  if (version_11 && !expect.empty() && !same_letters(expect, "100-continue"))
    return HttpRefusal{417, "the only Expect taken is 100-continue"};
  const std::string_view coding = header.field("Content-Encoding");
  if (!coding.empty() && !same_letters(coding, "identity"))
    return HttpRefusal{415, "compressed bodies are not taken"};
  framing = {.chunked = f.encodings > 0, .length = f.length};
  header.keep_alive = version_11 ? !f.close : f.keep_alive && !f.close;
  header.expects_continue = version_11 && (framing.chunked || f.length > 0) && !expect.empty();
  return {};
}

std::string_view HttpHeader::field(std::string_view name) const {
  for (const HttpField& f : fields)
    if (same_letters(f.name, name)) return f.value;
  return {};
}

}  // namespace kiln::http
