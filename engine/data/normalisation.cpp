#include "engine/data/normalisation.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace kiln {
namespace {

struct ChannelSums {
  std::array<std::uint64_t, 3> sum{};
  std::array<std::uint64_t, 3> square{};
};

template <int kChannels>
ChannelSums sums_of(std::span<const std::uint8_t> pixels) {
  // 32-bit partial sums over blocks of 4096 pixels stay below 2^32: 4096 * 255^2 < 2^28.04.
  constexpr std::size_t kBlock = 4096 * kChannels;
  ChannelSums total;
  for (std::size_t first = 0; first < pixels.size(); first += kBlock) {
    const auto block = pixels.subspan(first, std::min(kBlock, pixels.size() - first));
    std::array<std::uint32_t, kChannels> sum{}, square{};
    for (std::size_t i = 0; i < block.size(); i += kChannels)
      for (std::size_t c = 0; c < kChannels; ++c) {
        const std::uint32_t value = block[i + c];
        sum[c] += value;
        square[c] += value * value;
      }
    for (std::size_t c = 0; c < kChannels; ++c) {
      total.sum[c] += sum[c];
      total.square[c] += square[c];
    }
  }
  return total;
}

}  // namespace

Normalisation measure_normalisation(const Dataset& dataset, ThreadPool& pool) {
  constexpr std::int64_t kChunks = 64;
  const auto channels = static_cast<std::size_t>(dataset.info().channels);
  const auto image_bytes = static_cast<std::size_t>(dataset.image_bytes());
  std::vector<ChannelSums> sums(kChunks);
  pool.parallel_for(kChunks, [&](std::int64_t chunk) {
    const auto first = static_cast<std::size_t>(dataset.size() * chunk / kChunks) * image_bytes;
    const auto last =
        static_cast<std::size_t>(dataset.size() * (chunk + 1) / kChunks) * image_bytes;
    const auto pixels = dataset.images().subspan(first, last - first);
    sums[static_cast<std::size_t>(chunk)] = channels == 3 ? sums_of<3>(pixels) : sums_of<1>(pixels);
  });
  Normalisation out{.mode = Normalisation::Mode::measured};
  const std::size_t pixel_count = dataset.images().size() / std::max<std::size_t>(1, channels);
  const auto count = static_cast<double>(pixel_count);
  for (std::size_t c = 0; c < channels && count > 0; ++c) {
    std::uint64_t sum = 0, square = 0;
    for (const ChannelSums& part : sums) sum += part.sum[c], square += part.square[c];
    const double mean = static_cast<double>(sum) / count;
    const double variance = std::max(0.0, static_cast<double>(square) / count - mean * mean);
    out.mean[c] = static_cast<float>(mean / 255.0);
    out.std[c] = variance > 0 ? static_cast<float>(std::sqrt(variance) / 255.0) : 1.0f;
  }
  return out;
}

}  // namespace kiln
