#include "engine/infer/program.h"

#include <algorithm>
#include <stdexcept>

#include "engine/core/check.h"
#include "engine/infer/geometry.h"
#include "engine/infer/op_nodes.h"
#include "kernels/include/avgpool.h"
#include "kernels/include/batchnorm_infer.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/gelu.h"
#include "kernels/include/log_softmax.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/relu.h"
#include "kernels/include/scale.h"

namespace kiln::infer {
namespace {

Shape as_rows(const Shape& shape) { return {shape[0], shape.element_count() / shape[0]}; }

// Appends the nodes of steps and books their memory.
class Builder {
 public:
  Builder(const Weights& weights, std::int64_t batch_size, const Context& context, Planner& planner,
          std::vector<std::unique_ptr<Node>>& nodes)
      : weights_(weights),
        batch_size_(batch_size),
        context_(context),
        planner_(planner),
        nodes_(nodes) {}

  View add_all(const std::vector<Step>& steps, View x) {
    for (const Step& step : steps) x = add(step, x);
    return x;
  }

 private:
  // Of a whole batch, from the shape of one picture.
  Shape batched(const Shape& shape) const {
    if (shape.rank() == 2) return {batch_size_, shape[1]};
    return {batch_size_, shape[1], shape[2], shape[3]};
  }

  View add(const Step& step, View x) {
    x.shape = batched(step.input);
    switch (step.kind) {
      case StepKind::conv2d:
        return add_conv2d(step, x);
      case StepKind::conv2d_relu_maxpool:
        return add_fused(step, x);
      case StepKind::linear:
        return add_linear(step, x);
      case StepKind::batch_norm:
        return add_batch_norm(step, x);
      case StepKind::relu:
        return add_op<ReluArgs, kiln::relu>(step, {}, x, 0, true);
      case StepKind::gelu:
        return add_op<GeluArgs, kiln::gelu>(step, {}, x, 0, true);
      case StepKind::max_pool:
        return add_op<MaxpoolArgs, kiln::maxpool>(step, {.shape = pool_shape(*step.layer, x.shape)},
                                                  x);
      case StepKind::avg_pool:
        return add_op<AvgpoolArgs, kiln::avgpool>(
            step,
            {.shape = pool_shape(*step.layer, x.shape),
             .count_include_pad = step.layer->count_include_pad},
            x);
      case StepKind::log_softmax:
        x.shape = as_rows(x.shape);
        return add_op<LogSoftmaxArgs, kiln::log_softmax>(step, {}, x, 0, true);
      case StepKind::residual:
        return add_residual(step, x);
      case StepKind::scale:
        return add_op<ScaleArgs, kiln::scale>(step, {.factor = step.layer->factor}, x, 0, true);
    }
    throw std::logic_error("a step of no known kind");
  }

  View book(const Step& step, const View& x, std::size_t scratch_bytes, bool in_place) {
    const View y{planner_.define(step.layer->name, batched(step.output)), batched(step.output)};
    planner_.op({.name = step.layer->name,
                 .reads = {x.slot},
                 .writes = {y.slot},
                 .scratch_bytes = scratch_bytes,
                 .may_alias = in_place});
    return y;
  }

  template <class Args, void (*kernel)(Context&, const Args&)>
  View add_op(const Step& step, const Args& args, const View& x, std::size_t scratch_bytes = 0,
              bool in_place = false) {
    const View y = book(step, x, scratch_bytes, in_place);
    nodes_.push_back(std::make_unique<OpNode<Args, kernel>>(args, x, y));
    return y;
  }

  View add_conv2d(const Step& step, const View& x) {
    const LayerWeights& weights = weights_.of(step.layer->name);
    const Conv2dShape shape = conv_shape(*step.layer, x.shape);
    const std::size_t scratch =
        context_.device().is_host()
            ? conv2d_scratch_bytes(context_, shape, DType::f32, weights.packing)
            : 0;
    return add_op<Conv2dArgs, kiln::conv2d>(step,
                                            {.shape = shape,
                                             .w = weights.w,
                                             .bias = weights.bias,
                                             .activation = step.activation,
                                             .packed = weights.packed,
                                             .packing = weights.packing},
                                            x, scratch);
  }

  View add_fused(const Step& step, const View& x) {
    const LayerWeights& weights = weights_.of(step.layer->name);
    const Conv2dShape shape = conv_shape(*step.layer, x.shape);
    const Pool2dShape pool = pool_shape(*step.pool, shape.output());
    return add_op<Conv2dReluMaxpoolArgs, kiln::conv2d_relu_maxpool>(
        step, {.shape = shape, .pool = pool, .packed = weights.packed}, x,
        conv2d_relu_maxpool_scratch_bytes(context_, shape, pool, DType::f32, Filters::packed));
  }

  View add_linear(const Step& step, View x) {
    const LayerWeights& weights = weights_.of(step.layer->name);
    x.shape = as_rows(x.shape);
    const std::int64_t rows =
        context_.device().is_host() ? std::min(batch_size_, kLinearRows) : batch_size_;
    const View y = book(
        step, x, linear_scratch_bytes(context_, rows, x.shape[1], weights.w.shape()[0], DType::f32),
        false);
    nodes_.push_back(std::make_unique<LinearNode>(
        LinearArgs{.w = weights.w, .bias = weights.bias, .activation = step.activation}, x, y));
    return y;
  }

  View add_batch_norm(const Step& step, const View& x) {
    const LayerWeights& weights = weights_.of(step.layer->name);
    return add_op<BatchnormInferArgs, kiln::batchnorm_infer>(step,
                                                             {.gamma = weights.gamma,
                                                              .beta = weights.beta,
                                                              .running_mean = weights.running_mean,
                                                              .running_var = weights.running_var,
                                                              .epsilon = step.layer->epsilon,
                                                              .activation = step.activation},
                                                             x, 0, true);
  }

  View add_residual(const Step& step, const View& x) {
    const Shape shape = batched(step.output);
    const View body{add_all(step.body, x).slot, shape};
    const View shortcut{add_all(step.shortcut, x).slot, shape};
    const View y{planner_.define(step.layer->name, shape), shape};
    planner_.op({.name = step.layer->name,
                 .reads = {body.slot, shortcut.slot},
                 .writes = {y.slot},
                 .may_alias = true});
    nodes_.push_back(std::make_unique<AddNode>(body, shortcut, y));
    return y;
  }

  const Weights& weights_;
  std::int64_t batch_size_;
  const Context& context_;
  Planner& planner_;
  std::vector<std::unique_ptr<Node>>& nodes_;
};

}  // namespace

Program::Program(const Model& model, std::int64_t batch_size, const Context& context)
    : batch_size_(batch_size) {
  const ModelSpec& spec = model.spec();
  Planner planner(DType::f32, &context);
  // The caller's rows: the arena keeps a word for them.
  const View input{planner.define("input", {1}),
                   {batch_size, spec.height, spec.width, spec.channels}};
  planner.pin(input.slot);
  Builder builder(model.weights(), batch_size, context, planner, nodes_);
  const View output = builder.add_all(model.steps(), input);
  planner.pin(output.slot);
  KILN_CHECK(output.shape.element_count() == batch_size * spec.class_count);
  plan_ = planner.finish();
  places_ = {
      .plan = &plan_, .device = context.device(), .input = input.slot, .output = output.slot};
}

void Program::place(std::byte* arena, std::byte* scratch) {
  places_.arena = arena;
  places_.scratch = scratch;
  places_.input_rows = places_.output_rows = nullptr;
}

void Program::run(Context& context, float* input_rows, float* output_rows) {
  if (input_rows != places_.input_rows || output_rows != places_.output_rows) {
    places_.input_rows = input_rows;
    places_.output_rows = output_rows;
    for (const auto& node : nodes_) node->bind(places_);
  }
  for (const auto& node : nodes_) node->run(context);
}

}  // namespace kiln::infer
