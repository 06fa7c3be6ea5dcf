#include "models/parameter_layout.h"

#include <algorithm>
#include <cstring>

#include "engine/core/check.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

// Where a walk along the layers stands. `picture`: the last shape with pixels, which tells what a
// flattened row was made of.
struct Place {
  Shape shape, picture;
};

class Walk {
 public:
  Place along(const std::vector<LayerSpec>& layers, Place place) {
    for (const LayerSpec& layer : layers) place = through(layer, place);
    return place;
  }
  std::vector<ParameterLayout> take() { return std::move(layouts_); }

 private:
  Place through(const LayerSpec& layer, const Place& before) {
    Place after{output_shape(layer, before.shape), before.picture};
    if (layer.kind == LayerKind::conv2d) conv2d(layer, before.shape[3]);
    if (layer.kind == LayerKind::linear) linear(layer, before);
    if (layer.kind == LayerKind::batch_norm) norm(layer, before.shape[-1]);
    if (layer.kind == LayerKind::residual) {
      after.picture = along(layer.body, before).picture;
      along(layer.shortcut, before);
    }
    if (after.shape.rank() == 4) after.picture = after.shape;
    if (layer.kind == LayerKind::linear) after.picture = Shape{1, 1, 1, after.shape[1]};
    return after;
  }

  void conv2d(const LayerSpec& layer, std::int64_t input_channels) {
    const std::int64_t channels = input_channels / layer.groups;
    weight_and_bias(layer,
                    {.name = layer.name + ".weight",
                     .shape = {layer.out_features, layer.kernel_h, layer.kernel_w, channels},
                     .file_shape = {layer.out_features, channels, layer.kernel_h, layer.kernel_w},
                     .pixels = layer.kernel_h * layer.kernel_w,
                     .channels = channels});
  }

  void linear(const LayerSpec& layer, const Place& before) {
    const std::int64_t inputs = before.shape.element_count();
    ParameterLayout weight{.name = layer.name + ".weight",
                           .shape = {layer.out_features, inputs},
                           .file_shape = {layer.out_features, inputs},
                           .pixels = before.picture[1] * before.picture[2],
                           .channels = before.picture[3]};
    KILN_CHECK(weight.pixels * weight.channels == inputs);
    weight_and_bias(layer, std::move(weight));
  }

  void weight_and_bias(const LayerSpec& layer, ParameterLayout weight) {
    weight.outer = layer.out_features;
    weight.initialisation = layer.initialisation;
    weight.trained = layer.trained;
    weight.fan_in = weight.pixels * weight.channels;
    const std::int64_t fan_in = weight.fan_in;
    add(std::move(weight));
    if (layer.bias) vector(layer.name + ".bias", ParameterRole::bias, layer.out_features, fan_in);
  }

  void norm(const LayerSpec& layer, std::int64_t channels) {
    vector(layer.name + ".weight", ParameterRole::norm_scale, channels);
    layouts_.back().trained = layer.scale;
    vector(layer.name + ".bias", ParameterRole::norm_shift, channels);
    vector(layer.name + ".running_mean", ParameterRole::running_mean, channels);
    vector(layer.name + ".running_var", ParameterRole::running_variance, channels);
  }

  void vector(std::string name, ParameterRole role, std::int64_t count, std::int64_t fan_in = 1) {
    add({.name = std::move(name),
         .role = role,
         .shape = {count},
         .file_shape = {count},
         .outer = count,
         .fan_in = fan_in});
  }

  void add(ParameterLayout layout) {
    if (!names_.insert(layout.name).second)
      throw Error(ErrorKind::input, "model", "has two parameters named " + printable(layout.name),
                  "give each layer its own name");
    layouts_.push_back(std::move(layout));
  }

  std::set<std::string> names_;
  std::vector<ParameterLayout> layouts_;
};

// out[o][b][a] = in[o][a][b]
void transpose_inner(std::size_t element_bytes, std::int64_t outer, std::int64_t a_count,
                     std::int64_t b_count, std::span<const std::byte> in,
                     std::span<std::byte> out) {
  KILN_CHECK(in.size() == out.size());
  KILN_CHECK(in.size() == static_cast<std::size_t>(outer * a_count * b_count) * element_bytes);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t a = 0; a < a_count; ++a)
      for (std::int64_t b = 0; b < b_count; ++b) {
        const auto from = static_cast<std::size_t>((o * a_count + a) * b_count + b);
        const auto to = static_cast<std::size_t>((o * b_count + b) * a_count + a);
        std::memcpy(out.data() + to * element_bytes, in.data() + from * element_bytes,
                    element_bytes);
      }
}

}  // namespace

std::vector<ParameterLayout> parameter_layouts(const ModelSpec& spec) {
  check_spec(spec);
  const Shape input{1, spec.height, spec.width, spec.channels};
  Walk walk;
  walk.along(spec.layers, {input, input});
  return walk.take();
}

void to_file_order(const ParameterLayout& layout, std::size_t element_bytes,
                   std::span<const std::byte> memory, std::span<std::byte> file) {
  transpose_inner(element_bytes, layout.outer, layout.pixels, layout.channels, memory, file);
}

void to_memory_order(const ParameterLayout& layout, std::size_t element_bytes,
                     std::span<const std::byte> file, std::span<std::byte> memory) {
  transpose_inner(element_bytes, layout.outer, layout.channels, layout.pixels, file, memory);
}

std::string tracked_name(const ParameterLayout& running_mean) {
  constexpr std::string_view kMean = ".running_mean";
  KILN_CHECK(running_mean.name.ends_with(kMean));
  return running_mean.name.substr(0, running_mean.name.size() - kMean.size()) +
         ".num_batches_tracked";
}

void refuse_strangers(const SafetensorsFile& file, const std::set<std::string_view>& known,
                      std::span<const std::string_view> other_prefixes) {
  for (const SafetensorsEntry& entry : file.entries()) {
    const bool others = std::ranges::any_of(
        other_prefixes, [&](std::string_view prefix) { return entry.name.starts_with(prefix); });
    if (!others && !known.contains(entry.name))
      throw Error(ErrorKind::input, file.path().string(),
                  "holds " + printable(entry.name) + ", which the network does not have",
                  "use the model.json that was written with it");
  }
}

}  // namespace kiln
