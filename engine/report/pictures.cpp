// Pictures made of pictures: enlarging, the sheet of filters, the contact sheet.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/check.h"
#include "engine/report/png.h"

namespace kiln {
namespace {

using Rgb = std::array<std::uint8_t, 3>;

constexpr Rgb kSheetGround = {245, 246, 248};
constexpr Rgb kNotANumber = {255, 0, 255};
constexpr Rgb kVerdictColours[] = {{150, 156, 166}, {26, 138, 74}, {200, 48, 48}};

std::size_t at(int value) { return static_cast<std::size_t>(value); }

Picture blank(int height, int width, Rgb colour) {
  Picture sheet{.height = height, .width = width, .channel_count = 3, .pixels = {}};
  sheet.pixels.reserve(at(height) * at(width) * 3);
  for (std::size_t i = 0; i < at(height) * at(width); ++i)
    sheet.pixels.insert(sheet.pixels.end(), colour.begin(), colour.end());
  return sheet;
}

void fill(Picture& sheet, int top, int left, int height, int width, Rgb colour) {
  for (int y = top; y < top + height; ++y)
    for (int x = left; x < left + width; ++x)
      std::copy(colour.begin(), colour.end(),
                sheet.pixels.begin() +
                    static_cast<std::ptrdiff_t>((at(y) * at(sheet.width) + at(x)) * 3));
}

Rgb pixel(const Picture& picture, int y, int x) {
  const std::size_t first = (at(y) * at(picture.width) + at(x)) * at(picture.channel_count);
  if (picture.channel_count == 1)
    return {picture.pixels[first], picture.pixels[first], picture.pixels[first]};
  return {picture.pixels[first], picture.pixels[first + 1], picture.pixels[first + 2]};
}

// One filter [height, width, channel_count]: weights in, colours out.
class FilterTile {
 public:
  FilterTile(std::span<const float> weights, int channel_count)
      : weights_(weights), channel_count_(channel_count) {
    for (std::size_t i = 0; i < weights.size() / at(channel_count); ++i)
      for (const float value : planes(i))
        if (std::isfinite(value)) largest_ = std::max(largest_, std::abs(value));
  }

  Rgb colour(std::size_t position) const {
    Rgb out{};
    const std::array<float, 3> values = planes(position);
    for (std::size_t c = 0; c < 3; ++c) {
      if (!std::isfinite(values[c])) return kNotANumber;
      const float scaled = largest_ > 0.0f ? values[c] / largest_ : 0.0f;
      out[c] = static_cast<std::uint8_t>(std::lround(127.5f + 127.5f * scaled));
    }
    return out;
  }

 private:
  std::array<float, 3> planes(std::size_t position) const {
    const auto values = weights_.subspan(position * at(channel_count_), at(channel_count_));
    if (channel_count_ == 3) return {values[0], values[1], values[2]};
    float sum = 0.0f;
    for (const float value : values) sum += value;
    const float mean = sum / static_cast<float>(channel_count_);
    return {mean, mean, mean};
  }

  std::span<const float> weights_;
  int channel_count_;
  float largest_ = 0.0f;
};

}  // namespace

Picture shrink(const Picture& picture, int longest_edge) {
  KILN_CHECK(longest_edge >= 1);
  const std::int64_t longest = std::max(picture.height, picture.width);
  if (longest <= longest_edge) return picture;
  const auto shrunk = [&](int edge) {
    return static_cast<int>(std::max<std::int64_t>(1, edge * std::int64_t{longest_edge} / longest));
  };
  Picture out{.height = shrunk(picture.height),
              .width = shrunk(picture.width),
              .channel_count = picture.channel_count,
              .pixels = {}};
  // Output pixel y covers the rows [y * H / h, (y + 1) * H / h): whole pixels, at least one.
  const auto first = [](int index, int from, int to) {
    return static_cast<int>(std::int64_t{index} * from / to);
  };
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      for (int c = 0; c < out.channel_count; ++c) {
        std::int64_t sum = 0, count = 0;
        for (int sy = first(y, picture.height, out.height);
             sy < first(y + 1, picture.height, out.height); ++sy)
          for (int sx = first(x, picture.width, out.width);
               sx < first(x + 1, picture.width, out.width); ++sx, ++count)
            sum +=
                picture
                    .pixels[(at(sy) * at(picture.width) + at(sx)) * at(out.channel_count) + at(c)];
        out.pixels.push_back(static_cast<std::uint8_t>((sum + count / 2) / count));
      }
  return out;
}

Picture enlarge(const Picture& picture, int factor) {
  KILN_CHECK(factor >= 1);
  Picture out{.height = picture.height * factor,
              .width = picture.width * factor,
              .channel_count = picture.channel_count,
              .pixels = {}};
  out.pixels.reserve(picture.pixels.size() * at(factor) * at(factor));
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      const std::size_t first =
          (at(y / factor) * at(picture.width) + at(x / factor)) * at(picture.channel_count);
      for (std::size_t c = 0; c < at(picture.channel_count); ++c)
        out.pixels.push_back(picture.pixels[first + c]);
    }
  return out;
}

Picture tile_filters(std::span<const float> weights, int filter_count, int height, int width,
                     int channel_count, const FilterSheetOptions& options) {
  KILN_CHECK(filter_count > 0 && height > 0 && width > 0 && channel_count > 0);
  const std::size_t filter_size = at(height) * at(width) * at(channel_count);
  KILN_CHECK(weights.size() == at(filter_count) * filter_size);
  // A few filters make one row; more of them a sheet about twice as wide as high.
  const int wanted =
      filter_count <= 8 ? filter_count : static_cast<int>(std::ceil(std::sqrt(2.0 * filter_count)));
  const int row_count = (filter_count + wanted - 1) / wanted;
  const int column_count = (filter_count + row_count - 1) / row_count;
  const int scale = options.pixel_scale;
  const int tile_height = height * scale + options.gap, tile_width = width * scale + options.gap;
  Picture sheet = blank(row_count * tile_height + options.gap,
                        column_count * tile_width + options.gap, kSheetGround);
  for (int k = 0; k < filter_count; ++k) {
    const FilterTile tile(weights.subspan(at(k) * filter_size, filter_size), channel_count);
    const int top = options.gap + k / column_count * tile_height;
    const int left = options.gap + k % column_count * tile_width;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        fill(sheet, top + y * scale, left + x * scale, scale, scale,
             tile.colour(at(y) * at(width) + at(x)));
  }
  return sheet;
}

Picture contact_sheet(std::span<const SheetEntry> entries, int column_count, int cell_edge) {
  constexpr int kFrame = 4, kGap = 8;
  KILN_CHECK(!entries.empty() && column_count > 0 && cell_edge > 0);
  const int columns = std::min(column_count, static_cast<int>(entries.size()));
  const int rows = (static_cast<int>(entries.size()) + columns - 1) / columns;
  const int pitch = cell_edge + 2 * kFrame + kGap;
  Picture sheet = blank(rows * pitch + kGap, columns * pitch + kGap, kSheetGround);
  for (int i = 0; i < static_cast<int>(entries.size()); ++i) {
    const SheetEntry& entry = entries[at(i)];
    const Picture& picture = entry.picture;
    const int top = kGap + i / columns * pitch, left = kGap + i % columns * pitch;
    const int framed = cell_edge + 2 * kFrame;
    fill(sheet, top, left, framed, framed, kVerdictColours[static_cast<int>(entry.verdict)]);
    fill(sheet, top + kFrame, left + kFrame, cell_edge, cell_edge, kSheetGround);
    // The nearest pixel: small pictures show their pixels, large ones are thinned out.
    const int longest = std::max(picture.height, picture.width);
    const int shown_height = std::max(1, picture.height * cell_edge / longest);
    const int shown_width = std::max(1, picture.width * cell_edge / longest);
    const int y0 = top + kFrame + (cell_edge - shown_height) / 2;
    const int x0 = left + kFrame + (cell_edge - shown_width) / 2;
    for (int y = 0; y < shown_height; ++y)
      for (int x = 0; x < shown_width; ++x)
        fill(sheet, y0 + y, x0 + x, 1, 1,
             pixel(picture, y * picture.height / shown_height, x * picture.width / shown_width));
  }
  return sheet;
}

}  // namespace kiln
