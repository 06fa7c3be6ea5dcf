#include "engine/infer/weights.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/core/check.h"
#include "engine/core/error.h"
#include "engine/core/planned_buffer.h"
#include "engine/core/transfer.h"
#include "engine/infer/geometry.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "models/parameter_layout.h"

namespace kiln::infer {
namespace {

struct HostTensor {
  Shape shape;
  std::vector<float> values;  // in the order of memory
};
using HostTensors = std::map<std::string, HostTensor, std::less<>>;

void refuse_negative(const SafetensorsFile& file, const std::string& name,
                     const std::vector<float>& variances) {
  if (std::ranges::all_of(variances, [](float v) { return v >= 0; })) return;
  throw Error(ErrorKind::input, file.path().string(),
              name + " holds a variance that is not a number from 0 up",
              "write the model again with kiln train");
}

HostTensors read_all(const SafetensorsFile& file, const ModelSpec& spec) {
  const std::vector<ParameterLayout> layouts = parameter_layouts(spec);
  std::set<std::string> known;
  HostTensors tensors;
  for (const ParameterLayout& layout : layouts) {
    const SafetensorsEntry& entry = file.at(layout.name, DType::f32, layout.file_shape);
    std::vector<float> values(static_cast<std::size_t>(layout.shape.element_count()));
    to_memory_order(layout, sizeof(float), entry.bytes, std::as_writable_bytes(std::span(values)));
    if (layout.role == ParameterRole::running_variance) refuse_negative(file, layout.name, values);
    known.insert(layout.name);
    if (layout.role == ParameterRole::running_mean) known.insert(tracked_name(layout));
    tensors[layout.name] = {layout.shape, std::move(values)};
  }
  refuse_strangers(file, {known.begin(), known.end()});
  return tensors;
}

// Empty where there are no values.
Tensor view_of(const std::vector<float>& values, const Shape& shape) {
  return values.empty() ? Tensor() : Tensor(std::span(values), shape);
}

// y = x * scale + shift per channel, what batch normalisation is after training.
struct Affine {
  std::vector<double> scale, shift;
};

Affine affine_of(const HostTensors& tensors, const LayerSpec& norm) {
  const auto values = [&](const char* suffix) -> const std::vector<float>& {
    return tensors.at(norm.name + suffix).values;
  };
  const auto &gamma = values(".weight"), &beta = values(".bias"), &mean = values(".running_mean"),
             &variance = values(".running_var");
  Affine affine;
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    const double scale =
        static_cast<double>(gamma[c]) / std::sqrt(static_cast<double>(variance[c]) + norm.epsilon);
    affine.scale.push_back(scale);
    affine.shift.push_back(static_cast<double>(beta[c]) - static_cast<double>(mean[c]) * scale);
  }
  return affine;
}

// norm(w x + b) = (scale w) x + (scale b + shift), rounded to float once.
void fold(const Affine& affine, std::vector<float>& w, std::vector<float>& bias) {
  const std::size_t outputs = affine.scale.size(), inputs = w.size() / outputs;
  bias.resize(outputs);
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < inputs; ++i) {
      float& weight = w[o * inputs + i];
      weight = static_cast<float>(static_cast<double>(weight) * affine.scale[o]);
    }
    bias[o] = static_cast<float>(static_cast<double>(bias[o]) * affine.scale[o] + affine.shift[o]);
  }
}

void each_step(const std::vector<Step>& steps, const auto& visit) {
  for (const Step& step : steps) {
    visit(step);
    each_step(step.body, visit);
    each_step(step.shortcut, visit);
  }
}

}  // namespace

Weights::Weights(const SafetensorsFile& file, const ModelSpec& spec, const std::vector<Step>& steps,
                 Device device) {
  HostTensors tensors = read_all(file, spec);
  const auto move_in = [&](const std::string& name) {
    const HostTensor& tensor = tensors.at(name);
    return keep(tensor.values, tensor.shape, device);
  };
  each_step(steps, [&](const Step& step) {
    const std::string& name = step.layer->name;
    if (step.kind == StepKind::batch_norm) {
      layers_[name] = {.gamma = move_in(name + ".weight"),
                       .beta = move_in(name + ".bias"),
                       .running_mean = move_in(name + ".running_mean"),
                       .running_var = move_in(name + ".running_var")};
    } else if (is_weighted(step.kind)) {
      std::vector<float> bias;
      if (step.layer->bias) bias = tensors.at(name + ".bias").values;
      if (step.norm != nullptr)
        fold(affine_of(tensors, *step.norm), tensors.at(name + ".weight").values, bias);
      const HostTensor& w = tensors.at(name + ".weight");
      layers_[name] = weighted(step, view_of(w.values, w.shape),
                               view_of(bias, {static_cast<std::int64_t>(bias.size())}), device);
    }
  });
}

const LayerWeights& Weights::of(std::string_view layer) const {
  const auto found = layers_.find(layer);
  KILN_CHECK(found != layers_.end());
  return found->second;
}

Tensor Weights::make(const Shape& shape, Device device) {
  const std::size_t bytes = static_cast<std::size_t>(shape.element_count()) * sizeof(float);
  const Buffer& home = buffers_.emplace_back(planned_buffer("weights", device, bytes));
  size_bytes_ += bytes;
  return {home.data(), shape, DType::f32, device};
}

Tensor Weights::keep(std::span<const float> values, const Shape& shape, Device device) {
  const Tensor tensor = make(shape, device);
  set_elements<float>(tensor, values);
  return tensor;
}

LayerWeights Weights::weighted(const Step& step, const Tensor& w, const Tensor& bias,
                               Device device) {
  const auto keep_copy = [&](const Tensor& from) {
    return from.empty() ? Tensor() : keep(from.elements<float>(), from.shape(), device);
  };
  if (step.kind == StepKind::conv2d_relu_maxpool) {
    const Conv2dShape shape = conv_shape(*step.layer, step.input);
    const Pool2dShape pool = pool_shape(*step.pool, shape.output());
    const Tensor packed = make({conv2d_relu_maxpool_packed_count(shape, pool)}, device);
    conv2d_relu_maxpool_pack(shape, pool, w, bias, packed);
    return {.packed = packed};
  }
  if (step.kind == StepKind::conv2d && device.is_host()) {
    const Conv2dShape shape = conv_shape(*step.layer, step.input);
    const Filters packing = conv2d_packing(shape);
    const Tensor packed = make({conv2d_packed_count(shape, packing)}, device);
    conv2d_pack(shape, w, packed, packing);
    return {.bias = keep_copy(bias), .packed = packed, .packing = packing};
  }
  return {.w = keep_copy(w), .bias = keep_copy(bias)};
}

}  // namespace kiln::infer
