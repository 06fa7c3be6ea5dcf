// From a spec to layers: where neighbours are fused and parameters are bound.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/train/chain.h"
#include "engine/train/parameters.h"
#include "kernels/include/conv2d_provider.h"
#include "models/spec.h"

namespace kiln {

struct BuildOptions {
  bool fuse = true;
  bool on_host = true;  // elsewhere there is no kernel for conv2d + relu + max_pool in one
  std::int64_t batch_size = 1;
  // Names of parameters whose gradients nobody wants; backward ends above layers that have no
  // other.
  std::span<const std::string> paused = {};
};

// The layers of `specs` on an input of shape [N, H, W, C]. Flatten disappears: a linear layer reads
// a picture as a row. With `fuse`, conv2d + relu + max_pool (or conv2d + max_pool + relu, which is
// the same function), conv2d + relu, linear + relu and batch_norm + relu become one layer each.
std::unique_ptr<Chain> build_chain(const std::string& name, const std::vector<LayerSpec>& specs,
                                   Shape input, const ParameterStore& parameters,
                                   Conv2dProviders& providers, const BuildOptions& options);

}  // namespace kiln
