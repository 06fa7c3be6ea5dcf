// Random changes to training pictures, drawn from counters: what happens to a sample depends on
// (seed, epoch, sample index) alone, never on threads, batches or the order of samples.
//
// One Philox block per sample (RandomStream::augment):
//   word 0   column offset of the crop    word 1   row offset of the crop
//   word 2   top bit: flip                word 3   centre of the cutout, 16 bits each way
// An offset in [0, n) is (word * n) >> 32, uniform to 2^-32.
#pragma once

#include <cstdint>

namespace kiln {

struct Augmentation {
  enum class Padding { zero, reflect };
  enum class Flip {
    none,
    random,  // each picture in each epoch with probability 1/2
    // A picture's first epoch decides with probability 1/2, and every further epoch shows the other
    // side: two epochs always show both (docs: K. Jordan, "94% on CIFAR-10 in 3.29 seconds", 2024).
    alternating,
  };
  // The picture is padded by this many pixels on every side, then a window of the original size is
  // cut out; 0 for no crop. Less than the height and the width when the padding reflects.
  int crop_padding = 0;
  Padding padding = Padding::zero;
  Flip flip = Flip::none;
  // Side of a square set to `cutout_fill`, its centre uniform over the picture and the square cut
  // at the borders (DeVries, Taylor, "Cutout", 2017); 0 for none.
  int cutout_side = 0;
  std::uint8_t cutout_fill[3] = {0, 0, 0};

  bool any() const { return crop_padding > 0 || flip != Flip::none || cutout_side > 0; }
};

struct ImageExtents {
  int height = 0;
  int width = 0;
  int channels = 0;  // 1 or 3
};

// What one sample of one epoch gets.
struct AugmentDraw {
  int row = 0;  // the window's corner in the original picture, in [-crop_padding, crop_padding]
  int column = 0;
  bool flip = false;
  int cutout_row = 0;  // centre of the cutout, in the finished picture
  int cutout_column = 0;
};

AugmentDraw draw_augmentation(const Augmentation& augmentation, const ImageExtents& extents,
                              std::uint64_t seed, std::uint32_t epoch, std::uint64_t index);

// Writes the changed picture to `out`; `in` and `out` are [height, width, channels] and do not
// overlap. Order: crop, flip, cutout.
void apply_augmentation(const Augmentation& augmentation, const ImageExtents& extents,
                        const AugmentDraw& draw, const std::uint8_t* in, std::uint8_t* out);

// Throws Error (usage) when the settings do not fit pictures of these extents.
void check_augmentation(const Augmentation& augmentation, const ImageExtents& extents);

}  // namespace kiln
