#include "engine/infer/steps.h"

#include "engine/core/error.h"
#include "engine/infer/geometry.h"
#include "kernels/include/conv2d_relu_maxpool.h"

namespace kiln::infer {
namespace {

StepKind plain_kind(LayerKind kind) {
  switch (kind) {
    case LayerKind::conv2d:
      return StepKind::conv2d;
    case LayerKind::linear:
      return StepKind::linear;
    case LayerKind::batch_norm:
      return StepKind::batch_norm;
    case LayerKind::gelu:
      return StepKind::gelu;
    case LayerKind::max_pool:
      return StepKind::max_pool;
    case LayerKind::avg_pool:
      return StepKind::avg_pool;
    case LayerKind::log_softmax:
      return StepKind::log_softmax;
    case LayerKind::residual:
      return StepKind::residual;
    case LayerKind::scale:
      return StepKind::scale;
    default:
      return StepKind::relu;
  }
}

class Lowering {
 public:
  Lowering(const std::vector<LayerSpec>& layers, const Shape& input, bool on_host)
      : shape_(input), on_host_(on_host) {
    for (const LayerSpec& layer : layers)
      if (layer.kind != LayerKind::dropout) layers_.push_back(&layer);
  }

  std::vector<Step> steps() {
    while (at_ < layers_.size()) take();
    return std::move(steps_);
  }

 private:
  bool next_is(LayerKind kind, std::size_t ahead = 0) const {
    return at_ + ahead < layers_.size() && layers_[at_ + ahead]->kind == kind;
  }
  const LayerSpec& pass() {
    const LayerSpec& layer = *layers_[at_++];
    shape_ = output_shape(layer, shape_);
    return layer;
  }

  void take() {
    if (next_is(LayerKind::flatten)) {
      pass();
      return;
    }
    Step step{.kind = plain_kind(layers_[at_]->kind), .input = shape_};
    const bool weighted = is_weighted(step.kind);
    step.layer = &pass();
    if (weighted && next_is(LayerKind::batch_norm)) step.norm = &pass();
    if (step.kind == StepKind::conv2d) take_pool(step);
    if (weighted || step.kind == StepKind::batch_norm) take_activation(step);
    if (step.kind == StepKind::residual) {
      step.body = Lowering(step.layer->body, step.input, on_host_).steps();
      step.shortcut = Lowering(step.layer->shortcut, step.input, on_host_).steps();
    }
    step.output = shape_;
    steps_.push_back(std::move(step));
  }

  // The kernels of all these know relu, that of batch normalisation gelu too.
  void take_activation(Step& step) {
    if (step.activation != Activation::none) return;
    if (next_is(LayerKind::relu))
      step.activation = Activation::relu;
    else if (step.kind == StepKind::batch_norm && next_is(LayerKind::gelu))
      step.activation = Activation::gelu;
    else
      return;
    pass();
  }

  // relu and the largest of a window commute.
  void take_pool(Step& step) {
    const bool relu_first = next_is(LayerKind::relu) && next_is(LayerKind::max_pool, 1);
    const bool pool_first = next_is(LayerKind::max_pool) && next_is(LayerKind::relu, 1);
    if (!on_host_ || (!relu_first && !pool_first)) return;
    const LayerSpec& pool = *layers_[at_ + (relu_first ? 1 : 0)];
    const Conv2dShape convolution = conv_shape(*step.layer, step.input);
    if (!conv2d_relu_maxpool_supported(convolution, pool_shape(pool, shape_))) return;
    step.kind = StepKind::conv2d_relu_maxpool;
    step.pool = &pool;
    step.activation = Activation::relu;
    pass();
    pass();
  }

  std::vector<const LayerSpec*> layers_;
  Shape shape_;
  bool on_host_;
  std::size_t at_ = 0;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> steps_of(const ModelSpec& spec, bool on_host) {
  check_spec(spec);
  const Shape input{1, spec.height, spec.width, spec.channels};
  std::vector<Step> steps = Lowering(spec.layers, input, on_host).steps();
  if (steps.empty())
    throw Error(ErrorKind::unsupported, "model " + printable(spec.name),
                "has no layer that computes anything", "give it a linear layer");
  return steps;
}

}  // namespace kiln::infer
