// What a network computes once it is trained: the layers of a spec without those that do nothing in
// inference, with neighbours put together that one kernel or one set of weights can do.
#pragma once

#include <vector>

#include "engine/core/shape.h"
#include "kernels/include/activation.h"
#include "models/spec.h"

namespace kiln::infer {

enum class StepKind {
  conv2d,
  conv2d_relu_maxpool,
  linear,
  batch_norm,
  relu,
  gelu,
  max_pool,
  avg_pool,
  log_softmax,
  residual,
  scale,
};

// Whether a step multiplies by weights, into which a normalisation can be folded.
constexpr bool is_weighted(StepKind kind) {
  return kind == StepKind::conv2d || kind == StepKind::conv2d_relu_maxpool ||
         kind == StepKind::linear;
}

// Points into the spec that it was made from.
struct Step {
  StepKind kind = StepKind::relu;
  const LayerSpec* layer = nullptr;
  const LayerSpec* norm = nullptr;           // batch normalisation folded into the layer's weights
  const LayerSpec* pool = nullptr;           // conv2d_relu_maxpool: the pooling
  Activation activation = Activation::none;  // applied at the end, by the same kernel
  Shape input, output;                       // of one picture: [1, H, W, C] or [1, K]
  std::vector<Step> body, shortcut;          // residual
};

// `on_host`: the CPU's fused kernels may be used. `spec` must outlive the result. Throws Error
// (input, as check_spec; unsupported where nothing is left to compute).
std::vector<Step> steps_of(const ModelSpec& spec, bool on_host);

}  // namespace kiln::infer
