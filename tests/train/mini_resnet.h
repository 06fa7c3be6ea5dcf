// A residual network small enough for every test.
#pragma once

#include "models/zoo.h"

namespace kiln::test {

inline LayerSpec renamed_shortcut(LayerSpec block) {
  for (LayerSpec& layer : block.shortcut)
    layer.name.replace(layer.name.find("shortcut"), 8, "downsample");
  return block;
}

// The golden miniature: stem of 8 channels, an identity block, a projected block, head.
inline ModelSpec mini_resnet(std::int64_t extent) {
  const ModelSpec big = resnet18();
  ModelSpec spec{.name = "mini", .height = extent, .width = extent};
  spec.layers = {big.layers[0], big.layers[1], big.layers[2]};
  spec.layers[0].out_features = 8;
  for (const std::size_t block : {3u, 5u})
    spec.layers.push_back(renamed_shortcut(big.layers[block]));
  for (LayerSpec& layer : spec.layers[3].body)
    if (layer.kind == LayerKind::conv2d) layer.out_features = 8;
  for (auto* path : {&spec.layers[4].body, &spec.layers[4].shortcut})
    for (LayerSpec& layer : *path)
      if (layer.kind == LayerKind::conv2d) layer.out_features = 16;
  LayerSpec pool = big.layers[big.layers.size() - 3], head = big.layers.back();
  pool.kernel_h = pool.kernel_w = pool.stride_h = pool.stride_w = extent / 2;
  head.name = "fc";
  spec.layers.push_back(pool);
  spec.layers.push_back(big.layers[big.layers.size() - 2]);
  spec.layers.push_back(head);
  return spec;
}

// The same layers but for batch normalisation, whose statistics are a rank's own; convolutions have
// biases in its place.
inline std::vector<LayerSpec> without_norm(const std::vector<LayerSpec>& layers) {
  std::vector<LayerSpec> plain;
  for (LayerSpec layer : layers) {
    if (layer.kind == LayerKind::batch_norm) continue;
    if (layer.kind == LayerKind::conv2d) layer.bias = true;
    layer.body = without_norm(layer.body);
    layer.shortcut = without_norm(layer.shortcut);
    plain.push_back(layer);
  }
  return plain;
}

}  // namespace kiln::test
