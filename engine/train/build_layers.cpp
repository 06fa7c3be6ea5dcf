#include "engine/train/build_layers.h"

#include <algorithm>

#include "engine/train/layers/batch_norm.h"
#include "engine/train/layers/conv2d.h"
#include "engine/train/layers/linear.h"
#include "engine/train/layers/log_softmax.h"
#include "engine/train/layers/pointwise.h"
#include "engine/train/layers/pooling.h"
#include "kernels/include/conv2d_relu_maxpool.h"

namespace kiln {
namespace {

Conv2dShape conv_geometry(const LayerSpec& spec) {
  return {.k = spec.out_features,
          .r = spec.kernel_h,
          .s = spec.kernel_w,
          .stride_h = spec.stride_h,
          .stride_w = spec.stride_w,
          .pad_h = spec.padding_h,
          .pad_w = spec.padding_w,
          .dilation_h = spec.dilation_h,
          .dilation_w = spec.dilation_w,
          .groups = spec.groups};
}

Pool2dShape pool_geometry(const LayerSpec& spec) {
  return {.r = spec.kernel_h,
          .s = spec.kernel_w,
          .stride_h = spec.stride_h,
          .stride_w = spec.stride_w,
          .pad_h = spec.padding_h,
          .pad_w = spec.padding_w};
}

class ChainBuilder {
 public:
  ChainBuilder(const std::vector<LayerSpec>& specs, const Shape& input,
               const ParameterStore& parameters, Conv2dProviders& providers,
               const BuildOptions& options)
      : specs_(specs),
        shape_(input),
        parameters_(parameters),
        providers_(providers),
        options_(options) {}

  std::vector<std::unique_ptr<Layer>> build() {
    while (at_ < specs_.size()) {
      const std::size_t taken = take();
      for (std::size_t i = 0; i < taken; ++i) shape_ = output_shape(specs_[at_++], shape_);
    }
    return std::move(layers_);
  }

 private:
  const LayerSpec& spec() const { return specs_[at_]; }
  bool next_is(std::size_t ahead, LayerKind kind) const {
    return options_.fuse && at_ + ahead < specs_.size() && specs_[at_ + ahead].kind == kind;
  }
  Activation relu_behind() const {
    return next_is(1, LayerKind::relu) ? Activation::relu : Activation::none;
  }
  Activation activation_behind() const {
    return next_is(1, LayerKind::gelu) ? Activation::gelu : relu_behind();
  }
  static std::size_t taken_with(Activation activation) {
    return activation == Activation::none ? 1 : 2;
  }
  const Parameter& weight() const { return parameters_.find(spec().name + ".weight"); }
  const Parameter* bias() const {
    return spec().bias ? &parameters_.find(spec().name + ".bias") : nullptr;
  }
  bool trains(const char* suffix) const {
    const std::string name = spec().name + suffix;
    return parameters_.contains(name) && parameters_.find(name).trainable() &&
           std::ranges::find(options_.paused, name) == options_.paused.end();
  }
  template <class L, class... Args>
  void add(Args&&... args) {
    layers_.push_back(std::make_unique<L>(spec().name, std::forward<Args>(args)...));
    layers_.back()->set_trains(trains(".weight") || trains(".bias"));
  }

  // Adds the layer that begins here and returns how many entries of the spec it covers.
  std::size_t take() {
    switch (spec().kind) {
      case LayerKind::conv2d:
        return take_conv2d();
      case LayerKind::linear: {
        const Activation activation = relu_behind();
        add<Linear>(weight(), bias(), activation);
        return taken_with(activation);
      }
      case LayerKind::batch_norm:
        return take_batch_norm();
      case LayerKind::residual:
        take_residual();
        return 1;
      case LayerKind::flatten:
        return 1;
      default:
        take_plain();
        return 1;
    }
  }

  std::size_t take_conv2d() {
    const Conv2dShape geometry = on_input(conv_geometry(spec()), shape_);
    const bool relu_pool = next_is(1, LayerKind::relu) && next_is(2, LayerKind::max_pool);
    const bool pool_relu = next_is(1, LayerKind::max_pool) && next_is(2, LayerKind::relu);
    if (relu_pool || pool_relu) {
      const LayerSpec& pool = specs_[at_ + (relu_pool ? 2 : 1)];
      const Pool2dShape window = on_input(pool_geometry(pool), geometry.output());
      if (options_.on_host && !parameters_.mixed() &&
          conv2d_relu_maxpool_supported(geometry, window)) {
        add<Conv2dReluMaxPool>(geometry, window, weight(), bias());
        return 3;
      }
    }
    const Activation activation = relu_behind();
    add<Conv2d>(geometry, weight(), bias(), activation, providers_);
    return taken_with(activation);
  }

  std::size_t take_batch_norm() {
    const auto find = [&](const char* suffix) -> const Parameter& {
      return parameters_.find(spec().name + suffix);
    };
    const Activation activation = activation_behind();
    const std::size_t taken = taken_with(activation);
    // These need the output in backward as well, where it costs less to make than gelu does.
    const bool again = activation != Activation::gelu &&
                       (next_is(taken, LayerKind::conv2d) || next_is(taken, LayerKind::residual));
    add<BatchNorm>(BatchNorm::Weights{find(".weight"), find(".bias"), find(".running_mean"),
                                      find(".running_var")},
                   spec().momentum, spec().epsilon, activation,
                   again ? KeepsOutput::no : KeepsOutput::yes);
    return taken;
  }

  void take_residual() {
    const auto path = [&](const char* suffix, const std::vector<LayerSpec>& specs) {
      return build_chain(spec().name + suffix, specs, shape_, parameters_, providers_, options_);
    };
    add<Residual>(path(".body", spec().body), path(".shortcut", spec().shortcut));
  }

  void take_plain() {
    switch (spec().kind) {
      case LayerKind::relu:
        return add<Relu>();
      case LayerKind::gelu:
        return add<Gelu>();
      case LayerKind::max_pool:
        return add<MaxPool>(pool_geometry(spec()));
      case LayerKind::avg_pool:
        return add<AvgPool>(pool_geometry(spec()), spec().count_include_pad);
      case LayerKind::dropout:
        return add<Dropout>(spec().probability, spec().channel, dropout_id(spec().name));
      case LayerKind::scale:
        return add<Scale>(spec().factor);
      case LayerKind::log_softmax:
        return add<LogSoftmax>();
      default:
        throw Error(ErrorKind::unsupported, "layer " + spec().name, "cannot be trained");
    }
  }

  // 16 bits that tell the dropout layers of a network apart (FNV-1a of the name, folded), the same
  // however the layers around it were fused.
  static std::uint32_t dropout_id(const std::string& name) {
    std::uint32_t hash = 2166136261u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    return (hash >> 16) ^ (hash & 0xFFFFu);
  }

  const std::vector<LayerSpec>& specs_;
  Shape shape_;
  const ParameterStore& parameters_;
  Conv2dProviders& providers_;
  const BuildOptions& options_;
  std::size_t at_ = 0;
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace

std::unique_ptr<Chain> build_chain(const std::string& name, const std::vector<LayerSpec>& specs,
                                   Shape input, const ParameterStore& parameters,
                                   Conv2dProviders& providers, const BuildOptions& options) {
  ChainBuilder builder(specs, input, parameters, providers, options);
  return std::make_unique<Chain>(name, builder.build());
}

}  // namespace kiln
