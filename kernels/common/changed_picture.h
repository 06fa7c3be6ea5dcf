// One byte of a picture after crop, flip and cutout, the same on every device.
#pragma once

#include "engine/core/augmentation.h"

namespace kiln {

struct PictureChange {
  Augmentation augmentation;
  ImageExtents extents;

  KILN_HOST_DEVICE bool cut_out(const AugmentDraw& draw, int y, int x) const {
    const int side = augmentation.cutout_side;
    const int top = draw.cutout_row - side / 2, left = draw.cutout_column - side / 2;
    return y >= top && y < top + side && x >= left && x < left + side;
  }

  // Byte `at` of the changed picture [height, width, channels] whose original is `in`.
  KILN_HOST_DEVICE std::uint8_t byte(const AugmentDraw& draw, const std::uint8_t* in,
                                     int at) const {
    const int channel = at % extents.channels, pixel = at / extents.channels;
    const int y = pixel / extents.width, x = pixel % extents.width;
    if (cut_out(draw, y, x)) return augmentation.cutout_fill[channel];
    int row = draw.row + y, column = draw.column + (draw.flip ? extents.width - 1 - x : x);
    const bool inside = row >= 0 && row < extents.height && column >= 0 && column < extents.width;
    if (!inside) {
      if (augmentation.padding == Augmentation::Padding::zero) return 0;
      row = augment_rule::reflected(row, extents.height);
      column = augment_rule::reflected(column, extents.width);
    }
    return in[(row * extents.width + column) * extents.channels + channel];
  }
};

}  // namespace kiln
