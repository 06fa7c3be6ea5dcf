#include "engine/payload/npy_header.h"

#include <charconv>

#include "engine/core/error.h"
#include "engine/payload/decode_detail.h"

namespace kiln::payload::detail {
namespace {

constexpr std::string_view kThing = "npy array";
constexpr std::string_view kMend = "send what numpy.save writes";
constexpr std::size_t kMaxHeader = 10'000;  // as NumPy's own limit

[[noreturn]] void refuse_header(std::string_view wrong) { refuse(400, kThing, wrong, kMend); }

// The literal of a Python dict, of which only what numpy.save writes is known here.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, NpyHeader& header) : rest_(text), header_(header) {}

  void read() {
    expect('{');
    bool more = true;
    while (more && !take('}')) {
      read_entry();
      more = take(',');
      if (!more) expect('}');
    }
    skip_spaces();
    if (!rest_.empty()) refuse_header("has more than a dict in its header");
    for (const bool seen : seen_)
      if (!seen) refuse_header("lacks descr, fortran_order or shape in its header");
  }

 private:
  void read_entry() {
    constexpr std::array<std::string_view, 3> kKeys = {"descr", "fortran_order", "shape"};
    const std::string_view key = quoted();
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      if (key != kKeys[i]) continue;
      if (seen_[i]) refuse_header("says " + std::string(key) + " twice");
      seen_[i] = true;
      expect(':');
      if (i == 0) return read_descr();
      return i == 1 ? read_order() : read_shape();
    }
    refuse_header("has the unknown key '" + printable(key, 40) + "' in its header");
  }

  void read_descr() {
    skip_spaces();
    if (!rest_.empty() && (rest_.front() == '[' || rest_.front() == '('))
      refuse(400, kThing, "holds records", "send array.astype(numpy.float32)");
    const std::string_view descr = quoted();
    if (!set_type(descr))
      refuse(400, kThing,
             "has the type '" + printable(descr, 20) +
                 "', which is none of float16, float32, "
                 "float64, the integers and bool",
             "send array.astype(numpy.float32)");
  }

  bool set_type(std::string_view descr) {
    if (descr.size() != 3) return false;
    const char order = descr[0], kind = descr[1], size = descr[2];
    const std::string_view sizes = kind == 'f'                  ? "248"
                                   : kind == 'i' || kind == 'u' ? "1248"
                                   : kind == 'b'                ? "1"
                                                                : "";
    if (sizes.find(size) == std::string_view::npos) return false;
    if (order != '<' && order != '>' && !(order == '|' && size == '1')) return false;
    header_.kind = kind;
    header_.item_bytes = static_cast<std::size_t>(size - '0');
    header_.big_endian = order == '>';
    return true;
  }

  void read_order() {
    if (take_word("True"))
      header_.fortran_order = true;
    else if (!take_word("False"))
      refuse_header("has a fortran_order that is neither True nor False");
  }

  void read_shape() {
    expect('(');
    while (!take(')')) {
      if (header_.rank == NpyHeader::kMaxRank) refuse_header("has more than eight axes");
      header_.extent_array[header_.rank++] = number();
      if (take(',')) continue;
      expect(')');
      if (header_.rank == 1) refuse_header("has a shape that is no tuple");
      return;
    }
  }

  std::int64_t number() {
    skip_spaces();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || rest_.front() == '-')
      refuse_header("has an extent that is no number from 0 to 2^63 - 1");
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    if (!rest_.empty() && rest_.front() == 'L') rest_.remove_prefix(1);  // Python 2
    return value;
  }

  std::string_view quoted() {
    skip_spaces();
    const char quote = rest_.empty() ? '\0' : rest_.front();
    if (quote != '\'' && quote != '"') refuse_header("has a header that is no dict of Python");
    const std::size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) refuse_header("has a string without end in its header");
    const std::string_view text = rest_.substr(1, end - 1);
    if (text.find('\\') != std::string_view::npos) refuse_header("has an escape in its header");
    rest_.remove_prefix(end + 1);
    return text;
  }

  void skip_spaces() {
    const std::size_t end = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(std::min(end, rest_.size()));
  }
  bool take(char c) {
    skip_spaces();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    skip_spaces();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void expect(char c) {
    if (!take(c)) refuse_header(std::string("lacks a '") + c + "' in its header");
  }

  std::string_view rest_;
  NpyHeader& header_;
  std::array<bool, 3> seen_ = {};
};

std::size_t little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

NpyHeader parse_npy_header(std::string_view body) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  constexpr std::size_t kVersionEnd = 8;
  if (!body.starts_with(kMagic)) refuse_header("does not begin as a NumPy file does");
  if (body.size() < kVersionEnd) refuse_header("ends within its header");
  const char major = body[6], minor = body[7];
  if (major < 1 || major > 3 || minor != 0)
    refuse_header("is of a version that is none of 1.0, 2.0 and 3.0");
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  if (body.size() < kVersionEnd + length_bytes) refuse_header("ends within its header");
  const std::size_t length = little_endian(body.substr(kVersionEnd, length_bytes));
  if (length > kMaxHeader) refuse_header("has a header of more than 10000 bytes");
  NpyHeader header;
  header.data_offset = kVersionEnd + length_bytes + length;
  if (body.size() < header.data_offset) refuse_header("ends within its header");
  HeaderReader(body.substr(header.data_offset - length, length), header).read();
  return header;
}

}  // namespace kiln::payload::detail
