#include "models/spec.h"

#include <algorithm>
#include <array>

#include "engine/core/error.h"

namespace kiln {
namespace {

[[noreturn]] void misfit(const LayerSpec& layer, const Shape& input, std::string_view wrong) {
  throw Error(
      ErrorKind::input, "layer " + layer.name,
      std::string(name_of(layer.kind)) + " on " + to_string(input) + " " + std::string(wrong),
      "change the spec");
}

// One picture's values after any layer, and one layer's weights: beyond these no machine trains,
// and below them every product of extents fits into 64 bits.
constexpr std::int64_t kValueLimit = std::int64_t{1} << 31;
constexpr std::int64_t kWeightLimit = std::int64_t{1} << 33;
// An eigenproblem of half as many rows is solved at the start.
constexpr std::int64_t kWhiteningFilterLimit = 1024;

Shape bounded(const LayerSpec& layer, const Shape& input, const Shape& output,
              std::int64_t weights_per_output) {
  std::int64_t values = 1;
  for (const std::int64_t extent : output.extents()) {
    if (extent > kValueLimit / values) misfit(layer, input, "makes too many values");
    values *= extent;
  }
  if (weights_per_output > kWeightLimit / std::max<std::int64_t>(layer.out_features, 1))
    misfit(layer, input, "has too many weights");
  return output;
}

// Extent of the output of a window that slides over `extent` padded pixels.
std::int64_t slide(std::int64_t extent, std::int64_t window, std::int64_t stride,
                   std::int64_t padding, std::int64_t dilation) {
  const std::int64_t room = extent + 2 * padding - dilation * (window - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

Shape slid_shape(const LayerSpec& layer, const Shape& input, std::int64_t channels) {
  if (input.rank() != 4) misfit(layer, input, "needs pictures [N, H, W, C]");
  const std::int64_t p =
      slide(input[1], layer.kernel_h, layer.stride_h, layer.padding_h, layer.dilation_h);
  const std::int64_t q =
      slide(input[2], layer.kernel_w, layer.stride_w, layer.padding_w, layer.dilation_w);
  if (p < 1 || q < 1) misfit(layer, input, "has a window larger than the picture");
  return {input[0], p, q, channels};
}

Shape through(const std::vector<LayerSpec>& layers, Shape shape) {
  for (const LayerSpec& layer : layers) shape = output_shape(layer, shape);
  return shape;
}

Shape pool_shape(const LayerSpec& layer, const Shape& input) {
  if (layer.padding_h * 2 > layer.kernel_h || layer.padding_w * 2 > layer.kernel_w)
    misfit(layer, input, "pads more than half of its window");
  return bounded(layer, input, slid_shape(layer, input, input.rank() == 4 ? input[3] : 0), 0);
}

Shape conv_shape(const LayerSpec& layer, const Shape& input) {
  if (input.rank() == 4 && (input[3] % layer.groups != 0 || layer.out_features % layer.groups != 0))
    misfit(layer, input, "has channels that do not divide into its groups");
  if (layer.initialisation == Initialisation::dirac &&
      (layer.groups != 1 || layer.kernel_h % 2 == 0 || layer.kernel_w % 2 == 0))
    misfit(layer, input, "cannot pass a channel: dirac wants odd kernels and one group");
  const Shape output = slid_shape(layer, input, layer.out_features);
  return bounded(layer, input, output, layer.kernel_h * layer.kernel_w * (input[3] / layer.groups));
}

void refuse_whitening(const std::vector<LayerSpec>& layers) {
  for (const LayerSpec& layer : layers) {
    if (layer.initialisation == Initialisation::whitening)
      throw Error(ErrorKind::input, "layer " + layer.name,
                  "is initialised by whitening but does not read the network's input",
                  "put it first");
    refuse_whitening(layer.body);
    refuse_whitening(layer.shortcut);
  }
}

// Filters come in pairs of opposite sign, two for every value that a window reads.
void check_whitening(const ModelSpec& spec) {
  if (spec.layers.empty()) return;
  const LayerSpec& first = spec.layers.front();
  if (first.initialisation == Initialisation::whitening) {
    const std::int64_t filters = 2 * first.kernel_h * first.kernel_w * spec.channels;
    if (first.kind != LayerKind::conv2d || first.groups != 1 || first.dilation_h != 1 ||
        first.dilation_w != 1 || first.out_features != filters || filters > kWhiteningFilterLimit)
      throw Error(ErrorKind::input, "layer " + first.name,
                  "is initialised by whitening and must be a conv2d of one group, undilated, of " +
                      std::to_string(filters) + " output channels, at most " +
                      std::to_string(kWhiteningFilterLimit));
  }
  refuse_whitening({spec.layers.begin() + 1, spec.layers.end()});
  refuse_whitening(first.body);
  refuse_whitening(first.shortcut);
}

Shape residual_shape(const LayerSpec& layer, const Shape& input) {
  const Shape body = through(layer.body, input), shortcut = through(layer.shortcut, input);
  if (body != shortcut)
    misfit(
        layer, input,
        "ends in " + to_string(body) + " on one path and " + to_string(shortcut) + " on the other");
  return body;
}

}  // namespace

std::string_view name_of(LayerKind kind) {
  constexpr std::array<std::string_view, 12> kNames = {
      "conv2d",     "linear",  "relu",    "gelu",        "max_pool", "avg_pool",
      "batch_norm", "dropout", "flatten", "log_softmax", "residual", "scale",
  };
  return kNames.at(static_cast<std::size_t>(kind));
}

std::string_view name_of(Initialisation initialisation) {
  constexpr std::array<std::string_view, 4> kNames = {"uniform", "dirac", "whitening", "unit_std"};
  return kNames.at(static_cast<std::size_t>(initialisation));
}

Shape output_shape(const LayerSpec& layer, const Shape& input) {
  switch (layer.kind) {
    case LayerKind::conv2d:
      return conv_shape(layer, input);
    case LayerKind::linear:
      return bounded(layer, input, {input[0], layer.out_features}, input.element_count());
    case LayerKind::max_pool:
    case LayerKind::avg_pool:
      return pool_shape(layer, input);
    case LayerKind::flatten:
      return {input[0], input.element_count() / input[0]};
    case LayerKind::residual:
      return residual_shape(layer, input);
    case LayerKind::log_softmax:
      if (input.rank() != 2) misfit(layer, input, "needs rows [N, K]; add a flatten before it");
      return input;
    case LayerKind::relu:
    case LayerKind::gelu:
    case LayerKind::batch_norm:
    case LayerKind::dropout:
    case LayerKind::scale:
      return input;
  }
  return input;
}

std::vector<Shape> check_spec(const ModelSpec& spec) {
  Shape shape{1, spec.height, spec.width, spec.channels};
  if (shape[3] > kValueLimit / shape[1] / shape[2])
    throw Error(ErrorKind::input, "model " + spec.name, "has an input of too many values");
  std::vector<Shape> shapes;
  check_whitening(spec);
  for (const LayerSpec& layer : spec.layers) shapes.push_back(shape = output_shape(layer, shape));
  if (shape != Shape{1, spec.class_count})
    throw Error(
        ErrorKind::input, "model " + spec.name,
        "ends in " + to_string(shape) + ", not in [1, " + std::to_string(spec.class_count) + "]",
        "end it with a linear layer of one output per class");
  return shapes;
}

std::int64_t multiply_count(const LayerSpec& layer, const Shape& input) {
  const auto sum_of = [](const std::vector<LayerSpec>& layers, Shape shape) {
    std::int64_t sum = 0;
    for (const LayerSpec& inner : layers) {
      sum += multiply_count(inner, shape);
      shape = output_shape(inner, shape);
    }
    return sum;
  };
  switch (layer.kind) {
    case LayerKind::conv2d:
      return output_shape(layer, input).element_count() * layer.kernel_h * layer.kernel_w *
             (input[3] / layer.groups);
    case LayerKind::linear:
      return input.element_count() * layer.out_features;
    case LayerKind::residual:
      return sum_of(layer.body, input) + sum_of(layer.shortcut, input);
    default:
      return 0;
  }
}

}  // namespace kiln
