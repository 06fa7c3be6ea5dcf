// Oracle of load_batch: a picture is padded, a window of it cut out, turned, and a square covered,
// each as a picture of its own; the draws are written out from the definition in
// engine/core/augmentation.h.
#pragma once

#include <cmath>

#include "engine/core/rng.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

struct PictureSize {
  int height = 1, width = 1, channels = 1;
};

enum class Turn { never, by_chance, every_other_epoch };

struct Changes {
  int padding = 0;
  bool reflect = false;
  Turn turn = Turn::never;
  int square = 0;
  double colour[3] = {0, 0, 0};
};

struct Sample {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t index = 0;
};

inline PhiloxBlock augment_words(const Sample& s, std::uint32_t epoch) {
  return philox4x32(
      {{static_cast<std::uint32_t>(s.index), static_cast<std::uint32_t>(s.index >> 32), epoch, 3}},
      static_cast<std::uint32_t>(s.seed), static_cast<std::uint32_t>(s.seed >> 32));
}

// floor(word / 2^bits * bound)
inline int share_of(double word, int bits, int bound) {
  return static_cast<int>(std::floor(std::ldexp(word, -bits) * bound));
}

inline Values padded(const Values& in, const PictureSize& s, int by, bool reflect) {
  Values out;
  const auto mirrored = [](int at, int extent) {
    return (extent - 1) - std::abs((extent - 1) - std::abs(at));
  };
  for (int y = -by; y < s.height + by; ++y)
    for (int x = -by; x < s.width + by; ++x)
      for (int c = 0; c < s.channels; ++c) {
        const bool outside = y < 0 || y >= s.height || x < 0 || x >= s.width;
        const int row = mirrored(y, s.height), column = mirrored(x, s.width);
        const auto from = static_cast<std::size_t>((row * s.width + column) * s.channels + c);
        out.push_back(outside && !reflect ? 0 : in[from]);
      }
  return out;
}

inline Values changed_picture(const Values& in, const PictureSize& s, const Changes& changes,
                              const Sample& sample) {
  const PhiloxBlock words = augment_words(sample, sample.epoch);
  const int p = changes.padding, wide = s.width + 2 * p;
  const int top = share_of(words.word[1], 32, 2 * p + 1);
  const int left = share_of(words.word[0], 32, 2 * p + 1);
  bool turned = words.word[2] >= 0x80000000u;
  if (changes.turn == Turn::never) turned = false;
  if (changes.turn == Turn::every_other_epoch)
    turned = (augment_words(sample, 0).word[2] >= 0x80000000u) != (sample.epoch % 2 == 1);
  const int half = changes.square / 2;
  const int first_row = share_of(words.word[3] >> 16, 16, s.height) - half;
  const int first_column = share_of(words.word[3] & 0xFFFF, 16, s.width) - half;
  const Values whole = padded(in, s, p, changes.reflect);
  Values out;
  for (int y = 0; y < s.height; ++y)
    for (int x = 0; x < s.width; ++x)
      for (int c = 0; c < s.channels; ++c) {
        const int column = left + (turned ? s.width - 1 - x : x);
        const bool covered = y >= first_row && y < first_row + changes.square &&
                             x >= first_column && x < first_column + changes.square;
        const auto from = static_cast<std::size_t>(((top + y) * wide + column) * s.channels + c);
        out.push_back(covered ? changes.colour[c] : whole[from]);
      }
  return out;
}

}  // namespace kiln::reference
