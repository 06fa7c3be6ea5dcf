// The network of the speedrun, narrow enough for every test, and its groups.
#pragma once

#include <vector>

#include "engine/train/optimizer.h"
#include "models/zoo.h"

namespace kiln::test {

// `extent`: 32, or 16, where nothing is left to the last pooling.
inline ModelSpec narrow_speedrun(std::int64_t extent, const SpeedrunWidths& widths = {8, 12, 10}) {
  ModelSpec spec = speedrun94(10, widths);
  spec.height = spec.width = extent;
  for (LayerSpec& layer : spec.layers)
    if (extent == 16 && layer.name == "layers.4")
      layer.kernel_h = layer.kernel_w = layer.stride_h = layer.stride_w = 1;
  return spec;
}

// Those of the recipe for the mean over `batch` pictures, and what is not in a group: the biases of
// batch normalisation.
inline OptimizerOptions speedrun_optimizer(double batch, double whiten_epochs) {
  constexpr double kBias = 0.053, kHead = 0.67, kDecay = 2e-6;
  return {.momentum = 0.85,
          .nesterov = true,
          .weight_decay = kDecay / kBias,
          .groups = {{.match = "layers.*.conv*.weight",
                      .kind = ParameterGroup::Kind::muon,
                      .learning_rate = 0.24,
                      .momentum = 0.6,
                      .nesterov = true},
                     {.match = "whiten.bias",
                      .learning_rate = kBias * batch,
                      .momentum = 0.85,
                      .nesterov = true,
                      .weight_decay = kDecay / kBias,
                      .until_epochs = whiten_epochs},
                     {.match = "head.weight",
                      .learning_rate = kHead * batch,
                      .momentum = 0.85,
                      .nesterov = true,
                      .weight_decay = kDecay / kHead}}};
}
inline double speedrun_base_rate(double batch) { return 0.053 * batch; }

}  // namespace kiln::test
