#include "engine/http/chunk_reader.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "engine/http/http_chars.h"

namespace kiln::http {
namespace {

constexpr std::size_t kSizeDigits = 16;
// Extensions are read past; nobody uses them.
constexpr std::size_t kLineLimit = kSizeDigits + 256 + 2;

// ";name" or ";name=value", any number of them.
bool good_extensions(std::string_view text) {
  while (!text.empty()) {
    if (text.front() != ';') return false;
    text.remove_prefix(1);
    const std::size_t end = std::min(text.find(';'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(end);
    const std::size_t equals = one.find('=');
    if (!is_token(one.substr(0, equals))) return false;
    if (equals != one.npos && !is_token(one.substr(equals + 1))) return false;
  }
  return true;
}

}  // namespace

std::size_t ChunkReader::feed(std::string_view bytes, std::string& body) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !complete_ && !refusal_) {
    const std::string_view rest = bytes.substr(taken);
    switch (part_) {
      case Part::line:
        taken += feed_line(rest, body);
        break;
      case Part::data: {
        const std::size_t count = std::min(rest.size(), left_);
        body.append(rest.substr(0, count));
        left_ -= count;
        taken += count;
        if (left_ == 0) part_ = Part::data_end;
        break;
      }
      case Part::data_end:
      case Part::last_line:
        taken += feed_line_end(rest);
    }
  }
  return taken;
}

// Byte by byte: what is wrong is told at the byte where it shows.
std::size_t ChunkReader::feed_line(std::string_view bytes, const std::string& body) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !refusal_) {
    const char c = bytes[taken++];
    const bool after_return = line_.ends_with('\r');
    line_ += c;
    if (after_return != (c == '\n')) {
      refuse(400, "a line does not end with CR LF");
    } else if (c == '\n') {
      line_.resize(line_.size() - 2);
      read_line(body);
      return taken;
    } else if (line_.size() >= kLineLimit) {
      refuse(400, "a chunk's line is larger than the limit");
    } else if (c == '"') {
      refuse(400, "a chunk's extension is quoted");
    }
  }
  return taken;
}

void ChunkReader::read_line(const std::string& body) {
  std::uint64_t size = 0;
  const char* const begin = line_.data();
  const char* const end = begin + line_.size();
  // Takes digits alone: no sign, no 0x.
  const auto [stop, error] = std::from_chars(begin, end, size, 16);
  const auto digits = static_cast<std::size_t>(stop - begin);
  if (error != std::errc() || digits > kSizeDigits || !good_extensions({stop, end}))
    return refuse(400, "a chunk's line is malformed");
  if (++count_ > limits_.chunk_count) return refuse(400, "the body has too many chunks");
  if (size > limits_.body_bytes - body.size())
    return refuse(413, "the body is larger than the limit");
  left_ = size;
  line_.clear();
  part_ = size == 0 ? Part::last_line : Part::data;
}

// Fields behind the last chunk could say again what the gate has judged: none are taken.
std::size_t ChunkReader::feed_line_end(std::string_view bytes) {
  const bool last = part_ == Part::last_line;
  if (bytes.front() != "\r\n"[end_seen_]) {
    refuse(400, end_seen_ > 0 ? "a line does not end with CR LF"
                : last        ? "trailer fields are not taken"
                              : "a chunk is longer than it said");
    return 1;
  }
  if (++end_seen_ < 2) return 1;
  end_seen_ = 0;
  complete_ = last;
  part_ = Part::line;
  return 1;
}

}  // namespace kiln::http
