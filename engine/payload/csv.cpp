// Lines of numbers into pictures: each line one picture, [C, H, W] flattened.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/payload/decode_detail.h"
#include "engine/payload/quick_number.h"

namespace kiln::payload::detail {
namespace {

constexpr std::string_view kThing = "csv";

// Whether any number is written with a fraction or an exponent. Blocks, because a loop that may end
// at any byte takes one byte at a time.
bool has_fractions(std::string_view body) {
  constexpr std::size_t kBlock = 256;
  while (!body.empty()) {
    unsigned char found = 0;
    for (const char c : body.substr(0, kBlock))
      found = static_cast<unsigned char>(found | (c == '.') | (c == 'e') | (c == 'E'));
    if (found != 0) return true;
    body.remove_prefix(std::min(kBlock, body.size()));
  }
  return false;
}

class CsvReader {
 public:
  CsvReader(std::string_view body, const PictureShape& shape, bool pixels)
      : at_(body.data()), end_(body.data() + body.size()), shape_(shape), pixels_(pixels) {}

  Pictures read(const DecodeLimits& limits) {
    Pictures pictures;
    while (at_ != end_) {
      check_picture_count(kThing, ++line_, limits);
      ++pictures.count;
      // Grown by one picture at a time: every one before it was whole, so a body of n bytes never
      // takes more than its own numbers and one picture.
      if (pixels_)
        read_line(grown(pictures.bytes));
      else
        read_line(grown(pictures.values));
    }
    check_picture_count(kThing, pictures.count, limits);
    return pictures;
  }

 private:
  template <class T>
  T* grown(std::vector<T>& all) const {
    const std::size_t before = all.size();
    all.resize(before + static_cast<std::size_t>(shape_.size()));
    return all.data() + before;
  }

  // The numbers come as [C, H, W] and are stored as [H, W, C].
  template <class T>
  void read_line(T* out) {
    const std::int64_t plane = shape_.height * shape_.width, channels = shape_.channels;
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t i = 0; i < plane; ++i) {
        const std::int64_t last = c + 1 == channels ? plane - 1 : plane;
        i += read_quick_run(out + i * channels + c, last - i);
        if (i == plane) break;
        column_ = c * plane + i + 1;
        skip_spaces();
        read_number(out[i * channels + c]);
        if (column_ < shape_.size() && !take_comma()) refuse_count("ends");
      }
    skip_spaces();
    if (at_ != end_ && *at_ == ',') refuse_count("goes on");
    end_line();
  }

  // Up to `count` numbers, each with the comma behind it, as far as the quick readers go. Returns
  // their count. Nothing that a store to `out` could change stands in memory meanwhile.
  template <class T>
  std::int64_t read_quick_run(T* out, std::int64_t count) {
    constexpr std::ptrdiff_t kReadable = 40;
    const char* at = at_;
    const char* const end = end_;
    const std::int64_t channels = shape_.channels;
    std::int64_t done = 0;
    for (; done < count && end - at >= kReadable; ++done) {
      const char* const behind = read_quick(at, out[done * channels]);
      if (behind == nullptr || *behind != ',') break;
      at = behind + 1;
    }
    at_ = at;
    return done;
  }

  void read_number(std::uint8_t& out) {
    const double number = parse<double>();
    if (!is_pixel(number))
      refuse_number("is no pixel from 0 to 255",
                    "write a fraction (1.0) for numbers that are normalised already, or say "
                    "values=network");
    out = to_pixel(number);
  }

  void read_number(float& out) { out = parse<float>(); }

  template <class T>
  T parse() {
    T value{};
    const auto [end, error] = std::from_chars(at_, end_, value);
    if (error == std::errc::invalid_argument || !is_number_end(end))
      refuse_number("is no number", "separate numbers by commas");
    if (error == std::errc::result_out_of_range) value = static_cast<T>(parse_wide(end));
    if (!std::isfinite(value))
      refuse_number("is NaN, infinite or beyond the range of float32", "send finite numbers");
    at_ = end;
    return value;
  }

  // A number that is too small for a float is a small double, and becomes zero.
  double parse_wide(const char* number_end) const {
    double value = HUGE_VAL;
    std::from_chars(at_, number_end, value);
    return value;
  }

  bool is_number_end(const char* at) const {
    return at == end_ || *at == ',' || *at == '\n' || *at == ' ' || *at == '\r' || *at == '\t';
  }
  void skip_spaces() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t')) ++at_;
  }
  bool take_comma() {
    skip_spaces();
    if (at_ == end_ || *at_ != ',') return false;
    ++at_;
    return true;
  }
  void end_line() {
    if (at_ != end_ && *at_ == '\r') ++at_;
    if (at_ == end_) return;
    if (*at_ != '\n') refuse_number("is followed by something else", "end the line here");
    ++at_;
  }

  [[noreturn]] void refuse_number(std::string_view wrong, std::string_view mend) const {
    refuse(400, kThing,
           "line " + std::to_string(line_) + ", column " + std::to_string(column_) + " " +
               std::string(wrong),
           mend);
  }
  [[noreturn]] void refuse_count(std::string_view what) const {
    refuse(400, kThing,
           "line " + std::to_string(line_) + " " + std::string(what) + " after column " +
               std::to_string(column_),
           "write one picture a line, " + std::to_string(shape_.size()) +
               " numbers in the order [" + std::to_string(shape_.channels) + ", " +
               std::to_string(shape_.height) + ", " + std::to_string(shape_.width) + "]");
  }

  const char* at_;
  const char* end_;
  const PictureShape shape_;
  bool pixels_;
  std::int64_t line_ = 0, column_ = 0;
};

}  // namespace

Pictures decode_csv(std::string_view body, const PictureShape& shape, const DecodeLimits& limits,
                    std::optional<bool> pixels) {
  return CsvReader(body, shape, pixels.value_or(!has_fractions(body))).read(limits);
}

}  // namespace kiln::payload::detail
