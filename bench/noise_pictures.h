// Pictures for a benchmark that has none: half noise, half a grey that tells the class, so that
// there is something to learn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/core/rng.h"

namespace kiln::bench {

// Fills `images`, of so many bytes a label, and `labels`. `stream`: other pictures for another
// rank.
inline void draw_noise(std::vector<std::uint8_t>& images, std::vector<std::int32_t>& labels,
                       std::int64_t class_count, std::uint32_t stream) {
  RandomSequence numbers(1, RandomStream::synthesise, stream);
  const std::size_t picture = images.size() / labels.size();
  for (std::int32_t& label : labels)
    label = static_cast<std::int32_t>(numbers.next_below(static_cast<std::uint32_t>(class_count)));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<std::uint8_t>(numbers.next_below(128) +
                                          12 * static_cast<unsigned>(labels[i / picture] % 10));
}

}  // namespace kiln::bench
