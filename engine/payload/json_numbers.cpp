#include "engine/payload/json_numbers.h"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <utility>

#include "engine/payload/quick_number.h"

namespace kiln::payload::detail {
namespace {

constexpr std::size_t kMostAxes = 4;
constexpr std::int64_t kUnknown = -1;

bool has_fraction(std::string_view number) {
  return number.find_first_of(".eE") != std::string_view::npos;
}

// The readers of quick_number.h take leading zeros, JSON does not.
bool has_leading_zero(const char* at) {
  if (*at == '-') ++at;
  return at[0] == '0' && at[1] >= '0' && at[1] <= '9';
}

class NumbersReader {
 public:
  NumbersReader(JsonReader& reader, JsonNumbersAre are, const JsonNumbersLimits& limits)
      : reader_(reader), are_(are), limits_(limits), as_values_(are == JsonNumbersAre::values) {
    extents_.fill(kUnknown);
  }

  JsonNumbers read() {
    read_list(0);
    if (fault_ && !fractions_) refuse_pixel(*fault_);
    if (as_values_)
      values_.resize(count_);
    else
      bytes_.resize(count_);
    std::size_t rank = 0;
    while (rank < kMostAxes && extents_[rank] != kUnknown) ++rank;
    return {.extents = {extents_.begin(), extents_.begin() + static_cast<std::ptrdiff_t>(rank)},
            .bytes = std::move(bytes_),
            .values = std::move(values_)};
  }

 private:
  void read_list(std::size_t axis) {
    reader_.enter_array();
    std::int64_t& at = index_[axis];
    for (at = 0; reader_.next_element();) {
      switch (reader_.kind()) {
        case JsonKind::array:
          check_not_numbers(axis);
          read_list(axis + 1);
          ++at;
          break;
        case JsonKind::number:
          check_numbers(axis);
          at += read_numbers();
          break;
        default:
          reader_.refuse(place(axis) + " is neither a number nor a list", "send lists of numbers");
      }
    }
    std::int64_t& extent = extents_[axis];
    if (extent == kUnknown) extent = at;
    if (extent != at)
      reader_.refuse("the list " + place_of_list(axis) + " has " + std::to_string(at) +
                         " elements, those before it have " + std::to_string(extent),
                     "send lists of one length at each depth");
  }

  // Numbers stand at one depth alone, and no list deeper than that.
  void check_numbers(std::size_t axis) {
    const bool lists_below = axis + 1 < kMostAxes && extents_[axis + 1] != kUnknown;
    if (rank_ == 0 && !lists_below) rank_ = axis + 1;
    if (rank_ != axis + 1) refuse_mixture(axis);
  }
  void check_not_numbers(std::size_t axis) {
    if (rank_ != 0 && rank_ <= axis + 1) refuse_mixture(axis);
    if (axis + 1 == kMostAxes)
      reader_.refuse("lists are nested deeper than " + std::to_string(kMostAxes),
                     "send one picture or a list of pictures");
  }
  [[noreturn]] void refuse_mixture(std::size_t axis) const {
    reader_.refuse(place(axis) + " is a " +
                       (reader_.rest().front() == '[' ? "list where others are numbers"
                                                      : "number where others are lists"),
                   "send lists of one depth");
  }

  // At least one number, and as many of those behind it as the quick readers go. Returns their
  // count; the reader is behind the last.
  std::int64_t read_numbers() {
    grow();
    std::size_t done = as_values_ ? read_run(values_) : read_run(bytes_);
    if (done == 0) {
      read_number();
      done = 1;
    }
    count_ += done;
    return static_cast<std::int64_t>(done);
  }

  // Makes room for one number at least. Twice the room each time: no more than eight bytes of
  // memory for the two bytes that the shortest number takes in a body.
  void grow() {
    const std::size_t room = as_values_ ? values_.size() : bytes_.size();
    if (count_ < room) return;
    if (count_ >= limits_.count)
      refuse(limits_.status, "JSON", limits_.too_many, "send fewer in a request");
    const std::size_t wanted = std::min(limits_.count, std::max<std::size_t>(256, 2 * room));
    if (as_values_)
      values_.resize(wanted);
    else
      bytes_.resize(wanted);
  }

  template <class T>
  std::size_t read_run(std::vector<T>& all) {
    constexpr std::ptrdiff_t kReadable = 48;
    const std::string_view rest = reader_.rest();
    const char *at = rest.data(), *behind = at;
    const char* const end = at + rest.size();
    T* const out = all.data() + count_;
    const std::size_t room = all.size() - count_;
    std::size_t done = 0;
    while (done < room && end - at >= kReadable && !has_leading_zero(at)) {
      const char* const next = read_quick(at, out[done]);
      if (next == nullptr || (*next != ',' && *next != ']')) break;
      ++done;
      behind = next;
      if (*next == ']') break;
      at = next + 1;
      if (*at == ' ') ++at;
    }
    if constexpr (std::is_same_v<T, float>) fractions_ |= done > 0;
    reader_.move_on(static_cast<std::size_t>(behind - rest.data()));
    return done;
  }

  void read_number() {
    const std::size_t position = reader_.position();
    const std::string_view number = reader_.number();
    const bool fraction = has_fraction(number);
    fractions_ |= fraction;
    if (!as_values_) {
      if (read_pixel(number, fraction)) return;
      if (are_ != JsonNumbersAre::told_by_writing) refuse_pixel(position);
      if (!fraction) fault_ = position;
      turn_to_values();
    }
    const auto value = json_float(number);
    if (!value)
      reader_.refuse_at(position, "a number is beyond the range of float32", "send finite numbers");
    values_[count_] = *value;
  }

  bool read_pixel(std::string_view number, bool fraction) {
    if (fraction && are_ != JsonNumbersAre::pixels) return false;
    const auto value = json_double(number);
    if (!value || !is_pixel(*value)) return false;
    bytes_[count_] = to_pixel(*value);
    return true;
  }

  // The first number came that is no pixel: those before it were numbers of the same kind.
  void turn_to_values() {
    values_.resize(bytes_.size());
    std::copy_n(bytes_.begin(), count_, values_.begin());
    bytes_ = {};
    as_values_ = true;
  }

  [[noreturn]] void refuse_pixel(std::size_t position) const {
    std::string_view mend =
        "write a fraction (1.0) for numbers that are normalised already, or say values=network";
    if (are_ == JsonNumbersAre::pixels) mend = "send pixels, or say values=network";
    if (are_ == JsonNumbersAre::integers)
      mend = "send FP32 for numbers that are normalised already";
    const bool whole = are_ != JsonNumbersAre::pixels;
    reader_.refuse_at(
        position, whole ? "is no whole pixel from 0 to 255" : "is no pixel from 0 to 255", mend);
  }

  // "element [1, 0, 31]", as indices of the client's lists.
  std::string place(std::size_t axis) const {
    return "element " + bracketed(std::span(index_).first(axis + 1));
  }
  std::string place_of_list(std::size_t axis) const {
    return bracketed(std::span(index_).first(axis));
  }

  JsonReader& reader_;
  const JsonNumbersAre are_;
  const JsonNumbersLimits& limits_;
  bool as_values_, fractions_ = false;
  std::optional<std::size_t> fault_;  // where a whole number is no pixel
  std::array<std::int64_t, kMostAxes> extents_{}, index_{};
  std::size_t rank_ = 0;   // known with the first number
  std::size_t count_ = 0;  // of the numbers read; the vectors have room for more
  std::vector<std::uint8_t> bytes_;
  std::vector<float> values_;
};

template <class T>
std::vector<T> arranged(std::vector<T>&& from, const ArrayLayout& layout,
                        const PictureShape& shape) {
  if (from.empty() || layout.channel_step == 1) return std::move(from);
  std::vector<T> out(from.size());
  const std::int64_t plane = shape.height * shape.width, channels = shape.channels;
  for (std::int64_t n = 0; n < layout.count; ++n)
    for (std::int64_t c = 0; c < channels; ++c) {
      const T* const in = from.data() + n * shape.size() + c * plane;
      T* const to = out.data() + n * shape.size() + c;
      for (std::int64_t i = 0; i < plane; ++i) to[i * channels] = in[i];
    }
  return out;
}

}  // namespace

JsonNumbers read_json_numbers(JsonReader& reader, JsonNumbersAre are,
                              const JsonNumbersLimits& limits) {
  return NumbersReader(reader, are, limits).read();
}

Pictures arrange(JsonNumbers&& numbers, const ArrayLayout& layout, const PictureShape& shape) {
  Pictures pictures{.count = layout.count};
  pictures.bytes = arranged(std::move(numbers.bytes), layout, shape);
  pictures.values = arranged(std::move(numbers.values), layout, shape);
  return pictures;
}

}  // namespace kiln::payload::detail
