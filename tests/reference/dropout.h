// Oracle of dropout: a Philox mask per unit, times x. Double, one thread, straight from the
// definition.
#pragma once

#include <cmath>

#include "engine/core/rng.h"
#include "tests/support/guards.h"

namespace kiln::reference {

using test::Values;

// Whether unit `unit` is kept, written out from the definition in kernels/common/dropout_mask.h.
inline bool dropout_keeps(double p, std::uint64_t seed, std::uint32_t epoch, std::uint64_t step,
                          std::uint32_t layer, std::uint64_t unit) {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); };
  const std::uint64_t job = (step << 16) + layer;
  const PhiloxBlock key = philox4x32({{low(job), high(job), epoch, 4}}, low(seed), high(seed));
  const PhiloxBlock numbers =
      philox4x32({{low(unit / 4), high(unit / 4), epoch, 4}}, key.word[0], key.word[1]);
  const std::uint32_t draw = numbers.word[unit % 4] >> 8;  // 24 bits
  return draw >= std::floor(p * 16777216.0 + 0.5);
}

struct DropoutKey {
  double p = 0.5;
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t step = 0;
  std::uint32_t layer = 0;
};

// x is [N, spatial, C]; `channel` drops pairs (n, c).
inline Values dropout(const DropoutKey& key, const Values& x, std::size_t pictures,
                      std::size_t channels, bool channel) {
  const std::size_t per_picture = x.size() / pictures;
  Values y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t unit = channel ? (i / per_picture) * channels + i % channels : i;
    const bool kept = dropout_keeps(key.p, key.seed, key.epoch, key.step, key.layer, unit);
    y.push_back(x[i] * (kept && key.p < 1 ? 1 / (1 - key.p) : 0.0));
  }
  return y;
}

}  // namespace kiln::reference
