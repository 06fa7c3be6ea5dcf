// A whole network in double precision, layer by layer from the oracles of tests/reference. Weights
// are taken as a file has them; a flatten really turns [H, W, C] into PyTorch's [C, H, W].
#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/spec.h"
#include "tests/reference/add_relu.h"
#include "tests/reference/avgpool.h"
#include "tests/reference/batchnorm_infer.h"
#include "tests/reference/conv2d.h"
#include "tests/reference/gelu.h"
#include "tests/reference/linear.h"
#include "tests/reference/log_softmax.h"
#include "tests/reference/maxpool.h"
#include "tests/reference/scale.h"

namespace kiln::test {

using FileWeights = std::map<std::string, Values>;  // in file order

class ReferenceNetwork {
 public:
  explicit ReferenceNetwork(const FileWeights& weights) : weights_(weights) {}

  // `x`: shape `shape` = [N, H, W, C].
  Values forward(const std::vector<LayerSpec>& layers, Values x, Shape shape) const {
    for (const LayerSpec& layer : layers) {
      x = apply(layer, x, shape);
      shape = output_shape(layer, shape);
    }
    return x;
  }

 private:
  Values apply(const LayerSpec& layer, const Values& x, const Shape& shape) const {
    switch (layer.kind) {
      case LayerKind::conv2d:
        return conv2d(layer, x, shape);
      case LayerKind::linear:
        return reference::linear(rows(shape), row_size(shape), out(layer), x,
                                 weights_.at(layer.name + ".weight"), bias(layer),
                                 Activation::none);
      case LayerKind::relu:
        return relu(x);
      case LayerKind::gelu:
        return reference::gelu(x);
      case LayerKind::max_pool:
        return reference::maxpool(window(layer, shape), x).y;
      case LayerKind::avg_pool:
        return reference::avgpool(window(layer, shape), x, layer.count_include_pad);
      case LayerKind::batch_norm:
        return reference::batchnorm_infer(
            x,
            {weights_.at(layer.name + ".running_mean"), weights_.at(layer.name + ".running_var")},
            weights_.at(layer.name + ".weight"), weights_.at(layer.name + ".bias"), layer.epsilon);
      case LayerKind::dropout:
        return x;
      case LayerKind::flatten:
        return channels_first(x, shape);
      case LayerKind::log_softmax:
        return reference::log_softmax(x, row_size(shape));
      case LayerKind::scale:
        return reference::scale(x, layer.factor);
      case LayerKind::residual:
        break;
    }
    Values sum = forward(layer.body, x, shape);
    const Values shortcut = forward(layer.shortcut, x, shape);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += shortcut.at(i);
    return relu(sum);
  }

  static std::size_t rows(const Shape& shape) { return static_cast<std::size_t>(shape[0]); }
  static std::size_t row_size(const Shape& shape) {
    return static_cast<std::size_t>(shape.element_count() / shape[0]);
  }
  static std::size_t out(const LayerSpec& layer) {
    return static_cast<std::size_t>(layer.out_features);
  }
  Values bias(const LayerSpec& layer) const {
    return layer.bias ? weights_.at(layer.name + ".bias") : Values{};
  }
  static Values relu(Values x) {
    for (double& value : x) value = value < 0 ? 0 : value;
    return x;
  }
  static Pool2dShape window(const LayerSpec& layer, const Shape& shape) {
    return {shape[0],       shape[1],       shape[2],       shape[3],        layer.kernel_h,
            layer.kernel_w, layer.stride_h, layer.stride_w, layer.padding_h, layer.padding_w};
  }

  // [rows, pixels, channels] -> [rows, channels, pixels]
  static Values turned(const Values& x, std::size_t pixels, std::size_t channels) {
    Values y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t channel = i % channels, pixel = i / channels % pixels;
      y[(i / (pixels * channels) * channels + channel) * pixels + pixel] = x[i];
    }
    return y;
  }
  static Values channels_first(const Values& x, const Shape& shape) {
    return turned(x, static_cast<std::size_t>(shape[1] * shape[2]),
                  static_cast<std::size_t>(shape[3]));
  }

  Values conv2d(const LayerSpec& layer, const Values& x, const Shape& shape) const {
    const Conv2dShape s{shape[0],           shape[1],        shape[2],        shape[3],
                        layer.out_features, layer.kernel_h,  layer.kernel_w,  layer.stride_h,
                        layer.stride_w,     layer.padding_h, layer.padding_w, layer.dilation_h,
                        layer.dilation_w,   layer.groups};
    const Values w =
        turned(weights_.at(layer.name + ".weight"), static_cast<std::size_t>(s.c / s.groups),
               static_cast<std::size_t>(s.r * s.s));
    return reference::conv2d(s, x, w, bias(layer), Activation::none);
  }

  const FileWeights& weights_;
};

}  // namespace kiln::test
