// ModelSpec: the structure of a network as plain data. It knows no kernel and holds no weights;
// training and inference each build their own objects from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/shape.h"

namespace kiln {

enum class LayerKind {
  conv2d,
  linear,
  relu,
  gelu,
  max_pool,
  avg_pool,
  batch_norm,
  dropout,
  flatten,
  log_softmax,
  residual,
  scale,
};

// The name of a kind in a spec file: "conv2d", "max_pool" and so on.
std::string_view name_of(LayerKind kind);

// What a weight is before the first step; docs/math.md, "Initialisers".
enum class Initialisation {
  uniform,    // PyTorch's default
  dirac,      // conv2d: uniform, then the first filters pass one channel each
  whitening,  // conv2d on the network's input: from the covariance of training pictures
  unit_std,   // conv2d, linear: uniform, divided by its own standard deviation
};

// The name in a spec file: "uniform", "dirac" and so on.
std::string_view name_of(Initialisation initialisation);

// One layer. Only the fields of its kind mean anything; the others keep their defaults.
struct LayerSpec {
  LayerKind kind = LayerKind::relu;
  std::string name;  // prefix of the parameters' names, as PyTorch spells them: "layer1.0.conv1"

  std::int64_t out_features = 0;            // conv2d: K; linear: O
  std::int64_t kernel_h = 1, kernel_w = 1;  // conv2d, max_pool, avg_pool
  std::int64_t stride_h = 1, stride_w = 1;  // conv2d, max_pool, avg_pool
  std::int64_t padding_h = 0, padding_w = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;  // conv2d
  std::int64_t groups = 1;                      // conv2d
  bool bias = true;                             // conv2d, linear
  bool trained = true;  // conv2d, linear: false: the weight keeps its first values; not the bias
  Initialisation initialisation = Initialisation::uniform;  // conv2d, linear: of the weight
  bool count_include_pad = true;                            // avg_pool
  double momentum = 0.1, epsilon = 1e-5;                    // batch_norm
  bool scale = true;                                        // batch_norm: false: its weight stays 1
  double factor = 1.0;                                      // scale: y = factor x
  double probability = 0.5;                                 // dropout: of dropping
  bool channel = false;  // dropout: whole channels, PyTorch's Dropout2d

  // residual: y = relu(body(x) + shortcut(x)); an empty shortcut is the identity.
  std::vector<LayerSpec> body, shortcut;

  bool operator==(const LayerSpec&) const = default;
};

struct ModelSpec {
  std::string name;
  std::int64_t height = 32, width = 32, channels = 3;
  std::int64_t class_count = 10;
  std::vector<LayerSpec> layers;

  bool operator==(const ModelSpec&) const = default;
};

// What a layer makes of its input. Throws Error (input) naming the layer when the shapes do not
// fit: a window larger than the picture, a linear layer on nothing, channels not divisible by the
// groups, or a residual whose two paths end in different shapes.
Shape output_shape(const LayerSpec& layer, const Shape& input);

// Checks the whole network on one picture and that it ends in [1, class_count]; returns the output
// shape of every top-level layer. Throws Error (input).
std::vector<Shape> check_spec(const ModelSpec& spec);

// Multiply-adds of one forward pass of one picture, of convolutions and linear layers.
std::int64_t multiply_count(const LayerSpec& layer, const Shape& input);

// A spec file is JSON; docs/models.md describes it. `origin` names the source in errors. Unknown
// keys, missing keys and values out of range are errors that name the layer.
ModelSpec parse_spec(std::string_view json_text, std::string_view origin);
std::string to_json(const ModelSpec& spec);

}  // namespace kiln
