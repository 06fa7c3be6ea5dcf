// Model directories with drawn weights, written without the training engine, and networks that have
// every kind of layer.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/rng.h"
#include "models/model_card.h"
#include "models/parameter_layout.h"
#include "models/safetensors.h"
#include "models/zoo.h"
#include "tests/infer/reference_network.h"
#include "tests/train/mini_resnet.h"

namespace kiln::test {

inline ModelCard card_of(const ModelSpec& spec) {
  ModelCard card{.name = spec.name,
                 .spec = to_json(spec),
                 .input_height = spec.height,
                 .input_width = spec.width,
                 .input_channels = spec.channels,
                 .mean = std::vector<double>(static_cast<std::size_t>(spec.channels), 0.45),
                 .std = std::vector<double>(static_cast<std::size_t>(spec.channels), 0.25),
                 .data_name = "drawn",
                 .data_origin = "a test"};
  for (std::int64_t i = 0; i < spec.class_count; ++i)
    card.classes.push_back("class " + std::to_string(i));
  return card;
}

// Named f32 tensors that own their numbers.
struct DrawnTensor {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

// Weights of the size that training begins with, statistics that are far from neutral.
inline std::vector<DrawnTensor> drawn_tensors(const ModelSpec& spec, std::uint64_t seed) {
  RandomSequence numbers(seed, RandomStream::initialise, 5);
  std::vector<DrawnTensor> tensors;
  for (const ParameterLayout& layout : parameter_layouts(spec)) {
    const float bound = 1.7f / std::sqrt(static_cast<float>(layout.fan_in));
    const bool spread =
        layout.role == ParameterRole::norm_scale || layout.role == ParameterRole::running_variance;
    DrawnTensor tensor{layout.name, layout.file_shape, {}};
    for (std::int64_t i = 0; i < layout.file_shape.element_count(); ++i)
      tensor.values.push_back(spread ? numbers.next_uniform(0.5f, 1.5f)
                                     : numbers.next_uniform(-bound, bound));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

inline FileWeights as_weights(const std::vector<DrawnTensor>& tensors) {
  FileWeights weights;
  for (const DrawnTensor& tensor : tensors)
    weights[tensor.name] = Values(tensor.values.begin(), tensor.values.end());
  return weights;
}

inline void write_tensors(const std::filesystem::path& folder,
                          const std::vector<DrawnTensor>& tensors) {
  std::vector<SafetensorsEntry> entries;
  for (const DrawnTensor& tensor : tensors)
    entries.push_back(
        {tensor.name, DType::f32, tensor.shape, std::as_bytes(std::span(tensor.values))});
  write_safetensors(folder / "model.safetensors", entries);
}

inline void write_model(const std::filesystem::path& folder, const ModelSpec& spec,
                        std::uint64_t seed) {
  std::filesystem::create_directories(folder);
  write_tensors(folder, drawn_tensors(spec, seed));
  write_model_card(folder / "model.json", card_of(spec));
}

// Normalisations that cannot be folded (first, behind a pool, behind gelu), grouped and depthwise
// and dilated convolutions, both poolings, a residual whose shortcut is a convolution, a linear
// layer with a normalisation behind it.
inline ModelSpec everything() {
  using K = LayerKind;
  return {.name = "everything",
          .height = 13,
          .width = 12,
          .channels = 3,
          .class_count = 7,
          .layers = {{.kind = K::batch_norm, .name = "bn0"},
                     {.kind = K::conv2d,
                      .name = "conv1",
                      .out_features = 9,
                      .kernel_h = 3,
                      .kernel_w = 3,
                      .padding_h = 1,
                      .padding_w = 1,
                      .groups = 3},
                     {.kind = K::gelu, .name = "gelu1"},
                     {.kind = K::batch_norm, .name = "bn1", .epsilon = 1e-3},
                     {.kind = K::relu, .name = "relu1"},
                     {.kind = K::max_pool,
                      .name = "pool1",
                      .kernel_h = 3,
                      .kernel_w = 3,
                      .stride_h = 2,
                      .stride_w = 2,
                      .padding_h = 1,
                      .padding_w = 1},
                     {.kind = K::batch_norm, .name = "bn2"},
                     {.kind = K::gelu, .name = "gelu2"},
                     {.kind = K::residual,
                      .name = "block",
                      .body = {{.kind = K::relu, .name = "relu2"},
                               {.kind = K::conv2d,
                                .name = "depth",
                                .out_features = 9,
                                .kernel_h = 3,
                                .kernel_w = 3,
                                .padding_h = 1,
                                .padding_w = 1,
                                .groups = 9,
                                .bias = false},
                               {.kind = K::batch_norm, .name = "bn3"},
                               {.kind = K::conv2d, .name = "point", .out_features = 12}},
                      .shortcut = {{.kind = K::conv2d,
                                    .name = "wide",
                                    .out_features = 12,
                                    .kernel_h = 3,
                                    .kernel_w = 3,
                                    .padding_h = 2,
                                    .padding_w = 2,
                                    .dilation_h = 2,
                                    .dilation_w = 2,
                                    .bias = false}}},
                     {.kind = K::avg_pool,
                      .name = "pool2",
                      .kernel_h = 3,
                      .kernel_w = 3,
                      .stride_h = 2,
                      .stride_w = 2,
                      .padding_h = 1,
                      .padding_w = 1,
                      .count_include_pad = false},
                     {.kind = K::dropout, .name = "drop1", .channel = true},
                     {.kind = K::relu, .name = "relu3"},
                     {.kind = K::flatten, .name = "flatten"},
                     {.kind = K::linear, .name = "fc1", .out_features = 33, .bias = false},
                     {.kind = K::batch_norm, .name = "bn4"},
                     {.kind = K::relu, .name = "relu4"},
                     {.kind = K::dropout, .name = "drop2"},
                     {.kind = K::linear, .name = "fc2", .out_features = 7},
                     {.kind = K::log_softmax, .name = "log_softmax"}}};
}

// By name: the networks of the zoo, "everything", "mini" (a small residual network) and "speedrun"
// (a narrow speedrun94).
inline ModelSpec network_of(const std::string& name) {
  if (name == "everything") return everything();
  if (name == "mini") return mini_resnet(8);
  if (name == "speedrun") return speedrun94(10, {8, 12, 10});
  return find_model(name, 10);
}

inline std::vector<float> drawn_pictures(const ModelSpec& spec, std::int64_t count,
                                         std::uint64_t seed) {
  RandomSequence numbers(seed, RandomStream::synthesise, 3);
  std::vector<float> x(static_cast<std::size_t>(count * spec.height * spec.width * spec.channels));
  for (float& value : x) value = numbers.next_uniform(-2, 2);
  return x;
}

}  // namespace kiln::test
