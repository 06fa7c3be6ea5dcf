// Shared by the decoders behind decode.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/payload/decode.h"

namespace kiln::payload::detail {

// "thing: wrong; mend", as messages of kiln are written; the mend may be empty.
[[noreturn]] void refuse(int status, std::string_view thing, std::string_view wrong,
                         std::string_view mend = {});

// Refuses none and more than the limit.
void check_picture_count(std::string_view thing, std::int64_t count, const DecodeLimits& limits);

// Where the element (picture, row, column, channel) of an array stands: the sum of its indices
// times these steps, in elements.
struct ArrayLayout {
  std::int64_t count = 0;
  std::int64_t picture_step = 0, row_step = 0, column_step = 0, channel_step = 0;
  // The axis of each of the four, or -1 where the array has no axis for pictures.
  std::array<int, 4> axes = {-1, -1, -1, -1};
};

// Reads an array's extents as [N,C,H,W] or [N,H,W,C], or as one picture without N; where both fit
// the channels come first. Refuses all else; `thing` is what messages call the array.
ArrayLayout array_layout(std::string_view thing, std::span<const std::int64_t> extents,
                         bool fortran_order, const PictureShape& shape, const DecodeLimits& limits);

// "[2, 3, 32, 32]"
std::string bracketed(std::span<const std::int64_t> numbers);

constexpr bool is_pixel(double value) { return value >= 0 && value <= 255; }
// To the nearest, halves to the even one. Beside 1.5 * 2^52 a double has no room for a fraction.
constexpr std::uint8_t to_pixel(double value) {
  return static_cast<std::uint8_t>(value + 0x1.8p52 - 0x1.8p52);
}

// The position of the first NaN or infinity.
std::optional<std::size_t> first_nonfinite(std::span<const float> values);

Pictures decode_npy(std::string_view body, const PictureShape& shape, const DecodeLimits& limits,
                    std::optional<bool> pixels);
Pictures decode_csv(std::string_view body, const PictureShape& shape, const DecodeLimits& limits,
                    std::optional<bool> pixels);

}  // namespace kiln::payload::detail
