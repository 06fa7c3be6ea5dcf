#include "engine/payload/json_reader.h"

#include <algorithm>
#include <charconv>

#include "engine/payload/decode_detail.h"

namespace kiln::payload {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view name_of(JsonKind kind) {
  switch (kind) {
    case JsonKind::object:
      return "an object";
    case JsonKind::array:
      return "a list";
    case JsonKind::string:
      return "a string";
    case JsonKind::number:
      return "a number";
    case JsonKind::boolean:
      return "true or false";
    case JsonKind::null:
      return "null";
  }
  return "a value";
}

void append_utf8(std::string& out, unsigned code) {
  const auto byte = [](unsigned bits) { return static_cast<char>(bits); };
  const auto tail = [&](unsigned shift) { return byte(0x80u | (code >> shift & 0x3Fu)); };
  if (code < 0x80) {
    out += byte(code);
  } else if (code < 0x800) {
    out += {byte(0xC0u | code >> 6), tail(0)};
  } else if (code < 0x10000) {
    out += {byte(0xE0u | code >> 12), tail(6), tail(0)};
  } else {
    out += {byte(0xF0u | code >> 18), tail(12), tail(6), tail(0)};
  }
}

// Where the first digit that is not 0 stands before the point, as a power of ten: 1 for 3.5 and
// 1e0, 0 for 0.5, -1 for 0.05. For numbers with such a digit; far beyond the range of any type
// where the exponent is.
std::int64_t magnitude(std::string_view number) {
  if (number.front() == '-') number.remove_prefix(1);
  const std::size_t exponent_at = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, exponent_at);
  const auto point = static_cast<std::int64_t>(std::min(digits.find('.'), digits.size()));
  const auto first = static_cast<std::int64_t>(digits.find_first_not_of("0."));
  const std::int64_t power = first < point ? point : point + 1 - first;
  std::string_view exponent = number.substr(std::min(exponent_at + 1, number.size()));
  if (exponent.empty()) return power;
  if (exponent.front() == '+') exponent.remove_prefix(1);
  constexpr std::int64_t kFar = std::int64_t{1} << 50;
  std::int64_t value = exponent.front() == '-' ? -kFar : kFar;
  std::from_chars(exponent.data(), exponent.data() + exponent.size(), value);
  return power + std::clamp(value, -kFar, kFar);
}

template <class T>
std::optional<T> value_of(std::string_view number) {
  T value{};
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error == std::errc()) return value;
  if (magnitude(number) > 0) return {};
  return number.front() == '-' ? -T{0} : T{0};
}

}  // namespace

std::optional<double> json_double(std::string_view number) { return value_of<double>(number); }

std::optional<float> json_float(std::string_view number) { return value_of<float>(number); }

void JsonReader::refuse_at(std::size_t position, std::string_view wrong,
                           std::string_view mend) const {
  detail::refuse(400, "JSON", "byte " + std::to_string(position) + ": " + std::string(wrong), mend);
}

void JsonReader::skip_spaces() {
  while (!at_end()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
    ++at_;
  }
}

bool JsonReader::take(char c) {
  if (at_end() || text_[at_] != c) return false;
  ++at_;
  return true;
}

JsonKind JsonReader::kind() {
  skip_spaces();
  if (at_end()) refuse("the text ends where a value is expected");
  switch (const char c = text_[at_]) {
    case '{':
      return JsonKind::object;
    case '[':
      return JsonKind::array;
    case '"':
      return JsonKind::string;
    case 't':
    case 'f':
      return JsonKind::boolean;
    case 'n':
      return JsonKind::null;
    default:
      if (c == '-' || is_digit(c)) return JsonKind::number;
      refuse("no value begins here");
  }
}

void JsonReader::expect_kind(JsonKind wanted) {
  const JsonKind found = kind();
  if (found != wanted)
    refuse(std::string(name_of(found)) + " stands where " + std::string(name_of(wanted)) +
           " is expected");
}

void JsonReader::enter(JsonKind wanted) {
  expect_kind(wanted);
  if (depth_ == depth_limit_)
    refuse("lists and objects are nested deeper than " + std::to_string(depth_limit_));
  ++depth_;
  ++at_;
  first_ = true;
}

void JsonReader::enter_object() { enter(JsonKind::object); }
void JsonReader::enter_array() { enter(JsonKind::array); }

bool JsonReader::next(char closer) {
  skip_spaces();
  const bool first = first_;
  first_ = false;
  if (take(closer)) {
    --depth_;
    return false;
  }
  if (!first && !take(',')) {
    if (at_end()) refuse("the text ends within a list or an object");
    refuse(closer == ']' ? "neither `,` nor `]` follows an element"
                         : "neither `,` nor `}` follows a member");
  }
  return true;
}

bool JsonReader::next_element() { return next(']'); }

bool JsonReader::next_member(std::string_view& key) {
  if (!next('}')) return false;
  skip_spaces();
  if (peek() != '"') refuse("a key in double quotes is expected");
  key = string();
  skip_spaces();
  if (!take(':')) refuse("`:` is expected behind a key");
  return true;
}

std::string_view JsonReader::string() {
  expect_kind(JsonKind::string);
  const std::size_t begin = ++at_;
  take_string_part();
  if (peek() == '"') return text_.substr(begin, at_++ - begin);
  unescaped_ = text_.substr(begin, at_ - begin);
  while (peek() != '"') {
    take_escape();
    const std::size_t part = at_;
    take_string_part();
    unescaped_ += text_.substr(part, at_ - part);
  }
  ++at_;
  return unescaped_;
}

// Up to a quote or a backslash.
void JsonReader::take_string_part() {
  while (!at_end()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"' || c == '\\') return;
    if (c < 0x20) refuse("a control character stands in a string", "write it as an escape");
    if (c < 0x80)
      ++at_;
    else
      take_utf8();
  }
  refuse("the text ends within a string");
}

// RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
void JsonReader::take_utf8() {
  const auto byte = [&](std::size_t i) {
    return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0u;
  };
  const unsigned lead = byte(0), second = byte(1);
  const std::size_t length = lead < 0xC2 || lead > 0xF4 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const unsigned least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  bool good = length > 0 && second >= least && second <= most;
  for (std::size_t i = 2; i < length; ++i) good = good && (byte(i) & 0xC0u) == 0x80u;
  if (!good) refuse("a string is not UTF-8");
  at_ += length;
}

void JsonReader::take_escape() {
  constexpr std::string_view kNames = "\"\\/bfnrt", kBytes = "\"\\/\b\f\n\r\t";
  const std::size_t begin = at_++;
  const char c = peek();
  const std::size_t which = kNames.find(c);
  if (!at_end() && which != std::string_view::npos) {
    ++at_;
    unescaped_ += kBytes[which];
    return;
  }
  if (!take('u')) refuse_at(begin, "a string has an unknown escape");
  unsigned code = take_hex4();
  if (code >= 0xD800 && code < 0xE000) {
    const bool pair = code < 0xDC00 && take('\\') && take('u');
    const unsigned low = pair ? take_hex4() : 0;
    if (low < 0xDC00 || low > 0xDFFF) refuse_at(begin, "a surrogate has no partner");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(unescaped_, code);
}

unsigned JsonReader::take_hex4() {
  unsigned code = 0;
  const std::string_view digits = text_.substr(at_, 4);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (error != std::errc() || end != digits.data() + 4)
    refuse("four hexadecimal digits are expected behind `\\u`");
  at_ += 4;
  return code;
}

void JsonReader::take_digits() {
  if (!is_digit(peek())) refuse("a digit is expected in a number");
  while (is_digit(peek())) ++at_;
}

std::string_view JsonReader::number() {
  expect_kind(JsonKind::number);
  const std::size_t begin = at_;
  take('-');
  if (!take('0'))
    take_digits();
  else if (is_digit(peek()))
    refuse_at(begin, "a number has a leading zero");
  if (take('.')) take_digits();
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    take_digits();
  }
  return text_.substr(begin, at_ - begin);
}

std::int64_t JsonReader::integer() {
  skip_spaces();
  const std::size_t begin = at_;
  const std::string_view written = number();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), value);
  if (error != std::errc() || end != written.data() + written.size())
    refuse_at(begin, "is no whole number of 64 bits");
  return value;
}

void JsonReader::take_word(std::string_view word) {
  if (!rest().starts_with(word)) refuse("no value begins here");
  at_ += word.size();
}

bool JsonReader::boolean() {
  expect_kind(JsonKind::boolean);
  const bool value = peek() == 't';
  take_word(value ? "true" : "false");
  return value;
}

void JsonReader::null() {
  expect_kind(JsonKind::null);
  take_word("null");
}

void JsonReader::skip_simple(JsonKind kind) {
  if (kind == JsonKind::string)
    string();
  else if (kind == JsonKind::number)
    number();
  else if (kind == JsonKind::boolean)
    boolean();
  else
    null();
}

// As deep as the limit of depth, which the caller of a reader chooses.
// NOLINTNEXTLINE(misc-no-recursion)
void JsonReader::skip() {
  const JsonKind found = kind();
  if (found == JsonKind::object) {
    enter_object();
    for (std::string_view key; next_member(key);) skip();
  } else if (found == JsonKind::array) {
    enter_array();
    while (next_element()) skip();
  } else {
    skip_simple(found);
  }
}

void JsonReader::end() {
  skip_spaces();
  if (!at_end()) refuse("something follows the value", "send one value");
}

}  // namespace kiln::payload
