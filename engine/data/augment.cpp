#include "engine/data/augment.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "engine/core/error.h"

namespace kiln {
namespace {

using augment_rule::reflected;

// The parts of a window row of `width` pixels at `column` that lie left of, in, and right of the
// picture; left + inside + right = width.
struct RowParts {
  int left, inside, right;
};
RowParts row_parts(int column, int width) {
  const int left = std::min(width, std::max(0, -column));
  const int right = std::min(width, std::max(0, column));
  return {left, width - left - right, right};
}

template <int kChannels>
void copy_pixel(std::uint8_t* out, const std::uint8_t* in) {
  for (int c = 0; c < kChannels; ++c) out[c] = in[c];
}

template <int kChannels>
void crop_row(const std::uint8_t* in, int column, int width, Augmentation::Padding padding,
              std::uint8_t* out) {
  const RowParts parts = row_parts(column, width);
  std::memcpy(out + parts.left * kChannels, in + std::max(0, column) * kChannels,
              static_cast<std::size_t>(parts.inside * kChannels));
  std::uint8_t* const right = out + (parts.left + parts.inside) * kChannels;
  if (padding == Augmentation::Padding::zero) {
    std::memset(out, 0, static_cast<std::size_t>(parts.left * kChannels));
    std::memset(right, 0, static_cast<std::size_t>(parts.right * kChannels));
    return;
  }
  for (int x = 0; x < parts.left; ++x)
    copy_pixel<kChannels>(out + x * kChannels, in + reflected(column + x, width) * kChannels);
  for (int x = 0; x < parts.right; ++x)
    copy_pixel<kChannels>(right + x * kChannels, in + reflected(width + x, width) * kChannels);
}

template <int kChannels>
void crop(const Augmentation& augmentation, const ImageExtents& extents, const AugmentDraw& draw,
          const std::uint8_t* in, std::uint8_t* out) {
  const int row_bytes = extents.width * kChannels;
  for (int y = 0; y < extents.height; ++y, out += row_bytes) {
    int from = draw.row + y;
    if (from < 0 || from >= extents.height) {
      if (augmentation.padding == Augmentation::Padding::zero) {
        std::memset(out, 0, static_cast<std::size_t>(row_bytes));
        continue;
      }
      from = reflected(from, extents.height);
    }
    crop_row<kChannels>(in + from * row_bytes, draw.column, extents.width, augmentation.padding,
                        out);
  }
}

template <int kChannels>
void flip_rows(const ImageExtents& extents, std::uint8_t* image) {
  for (int y = 0; y < extents.height; ++y) {
    std::uint8_t* left = image + y * extents.width * kChannels;
    std::uint8_t* right = left + (extents.width - 1) * kChannels;
    for (; left < right; left += kChannels, right -= kChannels) {
      std::uint8_t pixel[kChannels];
      copy_pixel<kChannels>(pixel, left);
      copy_pixel<kChannels>(left, right);
      copy_pixel<kChannels>(right, pixel);
    }
  }
}

template <int kChannels>
void cut_out(const Augmentation& augmentation, const ImageExtents& extents, const AugmentDraw& draw,
             std::uint8_t* image) {
  const int side = augmentation.cutout_side;
  const int top = std::max(0, draw.cutout_row - side / 2);
  const int left = std::max(0, draw.cutout_column - side / 2);
  const int bottom = std::min(extents.height, draw.cutout_row - side / 2 + side);
  const int right = std::min(extents.width, draw.cutout_column - side / 2 + side);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x)
      copy_pixel<kChannels>(image + (y * extents.width + x) * kChannels, augmentation.cutout_fill);
}

template <int kChannels>
void apply(const Augmentation& augmentation, const ImageExtents& extents, const AugmentDraw& draw,
           const std::uint8_t* in, std::uint8_t* out) {
  if (draw.row == 0 && draw.column == 0)
    std::memcpy(out, in, static_cast<std::size_t>(extents.height * extents.width * kChannels));
  else
    crop<kChannels>(augmentation, extents, draw, in, out);
  if (draw.flip) flip_rows<kChannels>(extents, out);
  if (augmentation.cutout_side > 0) cut_out<kChannels>(augmentation, extents, draw, out);
}

}  // namespace

void apply_augmentation(const Augmentation& augmentation, const ImageExtents& extents,
                        const AugmentDraw& draw, const std::uint8_t* in, std::uint8_t* out) {
  if (extents.channels == 3)
    apply<3>(augmentation, extents, draw, in, out);
  else
    apply<1>(augmentation, extents, draw, in, out);
}

void check_augmentation(const Augmentation& augmentation, const ImageExtents& extents) {
  const int smaller = std::min(extents.height, extents.width);
  if (augmentation.crop_padding < 0 || augmentation.crop_padding >= smaller)
    throw Error(ErrorKind::usage, "crop padding " + std::to_string(augmentation.crop_padding),
                "does not fit pictures of " + std::to_string(extents.height) + "x" +
                    std::to_string(extents.width),
                "use 0 to " + std::to_string(smaller - 1));
  if (augmentation.cutout_side < 0 || augmentation.cutout_side > smaller)
    throw Error(ErrorKind::usage, "cutout side " + std::to_string(augmentation.cutout_side),
                "does not fit pictures of " + std::to_string(extents.height) + "x" +
                    std::to_string(extents.width),
                "use 0 to " + std::to_string(smaller));
}

}  // namespace kiln
