#include "engine/payload/decode_detail.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/core/error.h"

namespace kiln::payload::detail {
namespace {

bool fits(std::span<const std::int64_t> picture, bool channels_first, const PictureShape& shape) {
  if (channels_first)
    return picture[0] == shape.channels && picture[1] == shape.height && picture[2] == shape.width;
  return picture[0] == shape.height && picture[1] == shape.width && picture[2] == shape.channels;
}

[[noreturn]] void refuse_extents(std::string_view thing, std::span<const std::int64_t> extents,
                                 const PictureShape& shape) {
  const std::string height = std::to_string(shape.height), width = std::to_string(shape.width),
                    channels = std::to_string(shape.channels);
  refuse(400, thing, "has the shape " + bracketed(extents),
         "send [N, " + channels + ", " + height + ", " + width + "] or [N, " + height + ", " +
             width + ", " + channels + "], or one picture without N");
}

}  // namespace

void refuse(int status, std::string_view thing, std::string_view wrong, std::string_view mend) {
  throw Refusal(status, Error(ErrorKind::input, thing, wrong, mend).what());
}

void check_picture_count(std::string_view thing, std::int64_t count, const DecodeLimits& limits) {
  if (count < 1) refuse(400, thing, "holds no picture");
  if (count > limits.picture_count)
    refuse(413, thing, "holds more than " + std::to_string(limits.picture_count) + " pictures",
           "send fewer in a request");
}

std::string bracketed(std::span<const std::int64_t> numbers) {
  std::string result = "[";
  for (const std::int64_t number : numbers)
    result += (result.size() > 1 ? ", " : "") + std::to_string(number);
  return result + "]";
}

ArrayLayout array_layout(std::string_view thing, std::span<const std::int64_t> extents,
                         bool fortran_order, const PictureShape& shape,
                         const DecodeLimits& limits) {
  const std::size_t rank = extents.size();
  if (rank != 3 && rank != 4) refuse_extents(thing, extents, shape);
  const auto picture = extents.last(3);
  const bool channels_first = fits(picture, true, shape);
  if (!channels_first && !fits(picture, false, shape)) refuse_extents(thing, extents, shape);
  ArrayLayout layout{.count = rank == 4 ? extents[0] : 1};
  // No product of the extents can overflow from here on.
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / shape.size();
  check_picture_count(thing, layout.count, {.picture_count = std::min(limits.picture_count, most)});

  std::array<std::int64_t, 4> steps{};
  std::int64_t step = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t axis = fortran_order ? i : rank - 1 - i;
    steps[axis] = step;
    step *= extents[axis];
  }
  const auto first = static_cast<int>(rank - 3);
  const int channel = channels_first ? first : first + 2;
  const int row = channels_first ? first + 1 : first;
  layout.axes = {rank == 4 ? 0 : -1, row, row + 1, channel};
  layout.picture_step = rank == 4 ? steps[0] : 0;
  layout.row_step = steps[static_cast<std::size_t>(row)];
  layout.column_step = steps[static_cast<std::size_t>(row) + 1];
  layout.channel_step = steps[static_cast<std::size_t>(channel)];
  return layout;
}

std::optional<std::size_t> first_nonfinite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7F800000u;
  std::uint32_t found = 0;
  for (const float value : values)
    found |= (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent ? 1u : 0u;
  if (found == 0) return {};
  std::size_t at = 0;
  while (std::isfinite(values[at])) ++at;
  return at;
}

}  // namespace kiln::payload::detail
