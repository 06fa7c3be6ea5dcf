// What a network is made of, and what it costs: as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/planner.h"
#include "engine/train/network.h"

namespace kiln {

// One layer as it runs: neighbours that are computed together are one row.
struct LayerRow {
  std::string name;
  std::string description;  // with the algorithm chosen
  Shape output;             // of one picture: [H, W, C] or [K]
  std::int64_t parameter_count = 0;
  std::int64_t multiply_count = 0;  // multiply-adds of convolutions and linear layers, one picture
  int depth = 0;                    // 1 and more inside residual blocks
};

struct Anatomy {
  std::int64_t batch_size = 0;
  std::vector<LayerRow> layers;
  std::int64_t parameter_count = 0;
  std::int64_t multiply_count = 0;
  MemoryPlan training, inference;  // for one batch
  // Bytes of the trainable values; their gradients and every state of the optimizer need as many.
  std::size_t value_bytes = 0;
  std::size_t statistic_bytes = 0;  // running statistics of batch normalisation
};

Anatomy dissect(const ModelSpec& spec, const ParameterStore& parameters, Context& context,
                Conv2dProviders& providers, std::int64_t batch_size);

}  // namespace kiln
