// The mask of dropout, the same on every device.
//
// Unit u (an element, or a channel n*C + c) of layer L at step t is dropped when
//   key  = first two words of random_block(seed, dropout, epoch, t * 2^16 + L)
//   word = random_block(key, dropout, epoch, u / 4).word[u % 4]
//   word / 2^8 < p * 2^24
// so that p is met to 2^-24. The first block makes independent keys of (seed, epoch, step, layer);
// the second spends four words on four neighbours.
#pragma once

#include <cstdint>

#include "engine/core/rng.h"

namespace kiln {

struct DropoutMask {
  std::uint64_t key = 0;
  std::uint32_t epoch = 0;
  std::uint32_t threshold = 0;  // words below it, after >> 8, are dropped
  double keep_scale = 1;        // 1 / (1 - p), or 0 where p is 1

  KILN_HOST_DEVICE constexpr bool kept(PhiloxBlock block, int word) const {
    return (block.word[word] >> 8) >= threshold;
  }
  KILN_HOST_DEVICE constexpr PhiloxBlock block(std::uint64_t index) const {
    return random_block(key, RandomStream::dropout, epoch, index);
  }
  KILN_HOST_DEVICE constexpr bool kept(std::uint64_t unit) const {
    // Selected, not indexed: a GPU has no registers with a number known at run time.
    const PhiloxBlock b = block(unit / 4);
    const std::uint32_t low = unit % 2 == 0 ? b.word[0] : b.word[1];
    const std::uint32_t high = unit % 2 == 0 ? b.word[2] : b.word[3];
    return ((unit % 4 < 2 ? low : high) >> 8) >= threshold;
  }
};

KILN_HOST_DEVICE constexpr std::uint64_t dropout_key(std::uint64_t seed, std::uint32_t epoch,
                                                     std::uint64_t step, std::uint32_t layer_id) {
  const PhiloxBlock key = random_block(seed, RandomStream::dropout, epoch, step << 16 | layer_id);
  return key.word[0] | std::uint64_t{key.word[1]} << 32;
}

constexpr DropoutMask make_dropout_mask(double p, std::uint64_t seed, std::uint32_t epoch,
                                        std::uint64_t step, std::uint32_t layer_id) {
  return {.key = dropout_key(seed, epoch, step, layer_id),
          .epoch = epoch,
          .threshold = static_cast<std::uint32_t>(p * 16777216.0 + 0.5),
          .keep_scale = p < 1 ? 1 / (1 - p) : 0};
}

}  // namespace kiln
