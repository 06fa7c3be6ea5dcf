// NumPy arrays into pictures.
#include <algorithm>
#include <concepts>
#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/core/half.h"
#include "engine/payload/decode_detail.h"
#include "engine/payload/npy_header.h"

namespace kiln::payload::detail {
namespace {

constexpr std::string_view kThing = "npy array";

struct Bool {
  std::uint8_t byte = 0;
};

// What an element is worth, in the narrowest type that holds it.
template <class T>
auto number_of(T element) {
  if constexpr (std::is_same_v<T, Float16>)
    return to_float(element);
  else if constexpr (std::is_same_v<T, Bool>)
    return std::uint8_t{element.byte != 0};
  else
    return element;
}

template <class N>
bool is_pixel_number(N number) {
  if constexpr (std::floating_point<N>)
    return is_pixel(static_cast<double>(number));
  else
    return std::in_range<std::uint8_t>(number);
}

// Stores an element as the network takes it; false where it cannot be.
template <class N>
bool store(N number, float& out) {
  out = static_cast<float>(number);
  return true;  // the caller looks for infinities in one sweep
}
template <class N>
bool store(N number, std::uint8_t& out) {
  const bool good = is_pixel_number(number);
  if constexpr (std::floating_point<N>)
    out = to_pixel(good ? static_cast<double>(number) : 0);
  else
    out = static_cast<std::uint8_t>(number);
  return good;
}

// Loops that write [picture, row, column, channel] and read by steps. Axes that lie one behind the
// other in the array are one long axis.
struct Loops {
  std::int64_t pictures, rows, columns, channels;
  std::int64_t picture_step, row_step, column_step, channel_step;
};

Loops loops_of(const ArrayLayout& layout, const PictureShape& shape) {
  Loops loops{layout.count,        shape.height,    shape.width,        shape.channels,
              layout.picture_step, layout.row_step, layout.column_step, layout.channel_step};
  if (loops.row_step == loops.columns * loops.column_step) {
    loops.columns *= std::exchange(loops.rows, 1);
    if (loops.channel_step == 1 && loops.column_step == loops.channels) {
      loops.columns *= std::exchange(loops.channels, 1);
      loops.column_step = 1;
    }
  }
  return loops;
}

template <class T>
T element_at(const char* data, std::int64_t index) {
  T element;
  std::memcpy(&element, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof element);
  return element;
}

// A row of pixels from three planes, as PyTorch's clients send their pictures: one walk over the
// row, whose stores lie one behind the other.
template <class T>
void interleave(const char* data, const Loops& loops, T* out) {
  for (std::int64_t x = 0; x < loops.columns; ++x)
    for (std::int64_t c = 0; c < 3; ++c) *out++ = element_at<T>(data, c * loops.channel_step + x);
}

template <class T, class Out>
bool convert_row(const char* data, const Loops& loops, Out* out) {
  if constexpr (std::is_same_v<T, Out>)
    if (loops.channels == 3 && loops.column_step == 1) {
      interleave(data, loops, out);
      return true;
    }
  bool good = true;
  for (std::int64_t c = 0; c < loops.channels; ++c)
    for (std::int64_t x = 0; x < loops.columns; ++x)
      good &= store(number_of(element_at<T>(data, c * loops.channel_step + x * loops.column_step)),
                    out[x * loops.channels + c]);
  return good;
}

template <class T, class Out>
bool convert(const char* data, const Loops& loops, Out* out) {
  bool good = true;
  for (std::int64_t n = 0; n < loops.pictures; ++n)
    for (std::int64_t y = 0; y < loops.rows; ++y, out += loops.columns * loops.channels)
      good &= convert_row<T>(data + (n * loops.picture_step + y * loops.row_step) *
                                        static_cast<std::int64_t>(sizeof(T)),
                             loops, out);
  return good;
}

// Calls `work` with an object of the element's type.
template <class Work>
auto with_type(const NpyHeader& header, const Work& work) {
  const std::size_t bytes = header.item_bytes;
  if (header.kind == 'b') return work(Bool{});
  if (header.kind == 'f') {
    if (bytes == 2) return work(Float16{});
    return bytes == 4 ? work(float{}) : work(double{});
  }
  if (header.kind == 'u') {
    if (bytes == 1) return work(std::uint8_t{});
    if (bytes == 2) return work(std::uint16_t{});
    return bytes == 4 ? work(std::uint32_t{}) : work(std::uint64_t{});
  }
  if (bytes == 1) return work(std::int8_t{});
  if (bytes == 2) return work(std::int16_t{});
  return bytes == 4 ? work(std::int32_t{}) : work(std::int64_t{});
}

std::string with_bytes_turned(std::string_view data, std::size_t item_bytes) {
  std::string turned(data);
  for (std::size_t i = 0; i < turned.size(); i += item_bytes)
    std::reverse(turned.begin() + static_cast<std::ptrdiff_t>(i),
                 turned.begin() + static_cast<std::ptrdiff_t>(i + item_bytes));
  return turned;
}

// The indices, as the client's array has them, of the element that became number `at` of the
// result.
std::string place_of(std::size_t at, const ArrayLayout& layout, const PictureShape& shape) {
  const auto position = static_cast<std::int64_t>(at);
  const std::array<std::int64_t, 4> index = {
      position / shape.size(), position / (shape.width * shape.channels) % shape.height,
      position / shape.channels % shape.width, position % shape.channels};
  const bool batch = layout.axes[0] == 0;
  std::array<std::int64_t, 4> named{};
  for (std::size_t i = batch ? 0 : 1; i < 4; ++i)
    named[static_cast<std::size_t>(layout.axes[i])] = index[i];
  return "element " + bracketed(std::span(named).first(batch ? 4 : 3));
}

template <class T>
std::size_t first_bad_pixel(const char* data, const ArrayLayout& layout,
                            const PictureShape& shape) {
  // The same loops without joined axes, one element at a time, in the order of the result.
  std::size_t at = 0;
  for (std::int64_t n = 0; n < layout.count; ++n)
    for (std::int64_t y = 0; y < shape.height; ++y)
      for (std::int64_t x = 0; x < shape.width; ++x)
        for (std::int64_t c = 0; c < shape.channels; ++c, ++at) {
          T element;
          std::memcpy(&element,
                      data + (n * layout.picture_step + y * layout.row_step +
                              x * layout.column_step + c * layout.channel_step) *
                                 static_cast<std::int64_t>(sizeof(T)),
                      sizeof element);
          if (!is_pixel_number(number_of(element))) return at;
        }
  return at;
}

void read_pixels(const char* data, const NpyHeader& header, const ArrayLayout& layout,
                 const PictureShape& shape, std::vector<std::uint8_t>& out) {
  const Loops loops = loops_of(layout, shape);
  const bool good = with_type(
      header, [&](auto type) { return convert<decltype(type)>(data, loops, out.data()); });
  if (good) return;
  const std::size_t at = with_type(
      header, [&](auto type) { return first_bad_pixel<decltype(type)>(data, layout, shape); });
  refuse(400, kThing, place_of(at, layout, shape) + " is no pixel from 0 to 255",
         header.kind == 'f' ? "send pixels within 0 to 255, or values=network for numbers that "
                              "are normalised already"
                            : "send array.astype(numpy.float32) for numbers that are normalised "
                              "already");
}

void read_values(const char* data, const NpyHeader& header, const ArrayLayout& layout,
                 const PictureShape& shape, std::vector<float>& out) {
  const Loops loops = loops_of(layout, shape);
  with_type(header, [&](auto type) { return convert<decltype(type)>(data, loops, out.data()); });
  if (const auto at = first_nonfinite(out))
    refuse(400, kThing,
           place_of(*at, layout, shape) + " is NaN, infinite or beyond the range of float32",
           "send finite numbers");
}

}  // namespace

Pictures decode_npy(std::string_view body, const PictureShape& shape, const DecodeLimits& limits,
                    std::optional<bool> pixels) {
  const NpyHeader header = parse_npy_header(body);
  const ArrayLayout layout =
      array_layout(kThing, header.extents(), header.fortran_order, shape, limits);
  std::string_view data = body.substr(header.data_offset);
  // Division, so that no product of sizes out of the request can overflow.
  const std::size_t picture_bytes = static_cast<std::size_t>(shape.size()) * header.item_bytes;
  const auto count = static_cast<std::size_t>(layout.count);
  if (data.size() / picture_bytes < count)
    refuse(400, kThing,
           "ends after " + std::to_string(data.size() / header.item_bytes) +
               " of the elements of " + bracketed(header.extents()),
           "send the whole file");
  data = data.substr(0, count * picture_bytes);
  std::string turned;
  if (header.big_endian && header.item_bytes > 1)
    data = turned = with_bytes_turned(data, header.item_bytes);

  Pictures pictures{.count = layout.count};
  const std::size_t size = count * static_cast<std::size_t>(shape.size());
  if (pixels.value_or(header.kind != 'f')) {
    pictures.bytes.resize(size);
    read_pixels(data.data(), header, layout, shape, pictures.bytes);
  } else {
    pictures.values.resize(size);
    read_values(data.data(), header, layout, shape, pictures.values);
  }
  return pictures;
}

}  // namespace kiln::payload::detail
