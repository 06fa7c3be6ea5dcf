#include "apps/inspect/filters.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/transfer.h"

namespace kiln {
namespace {

constexpr std::int64_t kPreviewColumns = 100;

const LayerSpec* first_convolution(const std::vector<LayerSpec>& layers) {
  for (const LayerSpec& layer : layers) {
    if (layer.kind == LayerKind::conv2d) return &layer;
    for (const auto* path : {&layer.body, &layer.shortcut})
      if (const LayerSpec* found = first_convolution(*path)) return found;
  }
  return nullptr;
}

const Parameter& first_weights(const Model& model, const std::string& thing) {
  const LayerSpec* layer = first_convolution(model.spec.layers);
  if (layer == nullptr)
    throw Error(ErrorKind::input, thing, "has no convolution whose filters could be drawn");
  return model.parameters.find(layer->name + ".weight");
}

}  // namespace

Picture filter_picture(const Model& model, const std::string& thing) {
  const Parameter& weights = first_weights(model, thing);  // [K, R, S, C]
  const auto extent = [&](int axis) { return static_cast<int>(weights.shape[axis]); };
  return tile_filters(elements_of<float>(weights.value), extent(0), extent(1), extent(2),
                      extent(3));
}

std::string filter_preview(const Model& model, const std::string& thing) {
  constexpr std::string_view kRamp = " .:-=+*#%@";
  const Parameter& weights = first_weights(model, thing);
  const Shape& shape = weights.shape;
  const std::vector<float> values = elements_of<float>(weights.value);
  const std::int64_t shown =
      std::clamp(kPreviewColumns / (2 * shape[2] + 2), std::int64_t{1}, shape[0]);
  const auto mean = [&](std::int64_t k, std::int64_t r, std::int64_t s) {
    const std::int64_t first = ((k * shape[1] + r) * shape[2] + s) * shape[3];
    float sum = 0.0f;
    for (std::int64_t c = 0; c < shape[3]; ++c) sum += values[static_cast<std::size_t>(first + c)];
    return sum / static_cast<float>(shape[3]);
  };
  std::vector<float> largest(static_cast<std::size_t>(shown), 1e-30f);
  for (std::int64_t k = 0; k < shown; ++k)
    for (std::int64_t i = 0; i < shape[1] * shape[2]; ++i)
      largest[static_cast<std::size_t>(k)] = std::max(
          largest[static_cast<std::size_t>(k)], std::abs(mean(k, i / shape[2], i % shape[2])));
  std::string text;
  for (std::int64_t r = 0; r < shape[1]; ++r) {
    for (std::int64_t k = 0; k < shown; ++k) {
      for (std::int64_t s = 0; s < shape[2]; ++s) {
        const float scaled = mean(k, r, s) / largest[static_cast<std::size_t>(k)];  // [-1, 1]
        const float at = std::isfinite(scaled) ? (scaled + 1.0f) * 4.5f : 0.0f;
        text.append(2, kRamp[static_cast<std::size_t>(std::clamp(std::lround(at), 0L, 9L))]);
      }
      text += "  ";
    }
    text += "\n";
  }
  if (shown < shape[0])
    text += "(" + std::to_string(shown) + " of " + std::to_string(shape[0]) + " filters)\n";
  return text;
}

}  // namespace kiln
