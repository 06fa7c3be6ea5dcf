#include "engine/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/check.h"

namespace kiln {
namespace {

// A new element is sum_k weight[k] * old[first + k].
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weight;
};

Taps taps_of(std::int64_t at, std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  Taps taps;
  if (from > to) {
    const double begin = static_cast<double>(at) * scale, end = begin + scale;
    taps.first = static_cast<std::int64_t>(begin);
    const std::int64_t last = std::min(from, static_cast<std::int64_t>(std::ceil(end)));
    for (std::int64_t i = taps.first; i < last; ++i) {
      const double covered =
          std::min(end, static_cast<double>(i + 1)) - std::max(begin, static_cast<double>(i));
      taps.weight.push_back(static_cast<float>(covered / scale));
    }
    return taps;
  }
  const double centre =
      std::clamp((static_cast<double>(at) + 0.5) * scale - 0.5, 0.0, static_cast<double>(from - 1));
  taps.first = std::min(static_cast<std::int64_t>(centre), std::max<std::int64_t>(0, from - 2));
  const auto right = static_cast<float>(centre - static_cast<double>(taps.first));
  taps.weight = {1.0f - right};
  if (from > 1) taps.weight.push_back(right);
  return taps;
}

std::vector<Taps> all_taps(std::int64_t from, std::int64_t to) {
  std::vector<Taps> taps;
  for (std::int64_t at = 0; at < to; ++at) taps.push_back(taps_of(at, from, to));
  return taps;
}

// Every row of the picture at its new width: [height, columns, kChannels].
template <int kChannels>
void resize_columns(const Image& image, const std::vector<Taps>& columns, float* out) {
  const std::uint8_t* row = image.bytes.data();
  for (std::int64_t y = 0; y < image.height; ++y, row += image.width * kChannels)
    for (const Taps& taps : columns) {
      float sum[kChannels] = {};
      const std::uint8_t* from = row + taps.first * kChannels;
      for (const float weight : taps.weight)
        for (float& channel : sum) channel += weight * static_cast<float>(*from++);
      for (const float channel : sum) *out++ = channel;
    }
}

}  // namespace

void Resizer::resize(const Image& image, const ImageSize& size, std::uint8_t* out) {
  const std::int64_t channels = image.channels, row = size.width * channels;
  if (image.height == size.height && image.width == size.width) {
    std::memcpy(out, image.bytes.data(), image.bytes.size());
    return;
  }
  KILN_CHECK(channels == 1 || channels == 3);
  rows_.resize(static_cast<std::size_t>(image.height * row));
  const auto columns = all_taps(image.width, size.width);
  if (channels == 1)
    resize_columns<1>(image, columns, rows_.data());
  else
    resize_columns<3>(image, columns, rows_.data());
  std::vector<float> sum(static_cast<std::size_t>(row));
  for (std::int64_t y = 0; y < size.height; ++y) {
    const Taps taps = taps_of(y, image.height, size.height);
    std::fill(sum.begin(), sum.end(), 0.5f);
    const float* from = rows_.data() + taps.first * row;
    for (const float weight : taps.weight)
      for (std::int64_t i = 0; i < row; ++i) sum[static_cast<std::size_t>(i)] += weight * *from++;
    for (std::int64_t i = 0; i < row; ++i)
      out[y * row + i] =
          static_cast<std::uint8_t>(std::clamp(sum[static_cast<std::size_t>(i)], 0.0f, 255.0f));
  }
}

}  // namespace kiln
