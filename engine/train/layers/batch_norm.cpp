#include "engine/train/layers/batch_norm.h"

#include "engine/train/layers/unwanted_gradient.h"
#include "kernels/include/batchnorm_apply.h"
#include "kernels/include/batchnorm_grad.h"
#include "kernels/include/batchnorm_infer.h"
#include "kernels/include/batchnorm_train.h"

namespace kiln {
namespace {

Tensor optional(const Memory& m, Slot slot) { return slot ? m[slot] : Tensor{}; }

}  // namespace

std::string BatchNorm::description() const {
  std::string text = weights_.scale.trainable() ? "batch_norm" : "batch_norm of weight 1";
  if (activation_ == Activation::relu) text += " + relu";
  if (activation_ == Activation::gelu) text += " + gelu";
  return text;
}

Slot BatchNorm::do_plan_forward(Planner& p, Slot x) {
  const Shape per_channel{p.shape(x)[-1]};
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  const DType wide = accumulation_type(p.dtype());
  mean_ = p.define(name() + ".mean", per_channel, wide);
  inv_std_ = p.define(name() + ".inv_std", per_channel, wide);
  if (keeps_output_ == KeepsOutput::no) {
    scale_ = p.define(name() + ".scale", per_channel, wide);
    shift_ = p.define(name() + ".shift", per_channel, wide);
  }
  p.op({.name = name(),
        .reads = {x},
        .writes = {y_, mean_, inv_std_, scale_, shift_},
        .scratch_bytes = batchnorm_train_scratch_bytes(p.context(), p.shape(x), p.dtype())});
  return y_;
}

void BatchNorm::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  const std::size_t scratch = batchnorm_grad_scratch_bytes(p.context(), p.shape(x_), p.dtype());
  const std::string op = name() + ".grad";
  const Slot mask = activation_ == Activation::relu ? y_ : x_;  // y is needed for the relu alone
  dgamma_ = unwanted_gradient(p, weights_.scale, p.dtype(mean_));
  const bool add = mode == GradWrite::accumulate;
  p.op({.name = op,
        .reads = {dy, x_, mask, mean_, inv_std_},
        .writes = {add ? Slot{} : dx, dgamma_},
        .updates = {add ? dx : Slot{}},
        .scratch_bytes = scratch});
}

void BatchNorm::do_forward(Context& c, const Memory& m) {
  if (c.mode == Mode::eval) {
    batchnorm_infer(c, {.x = m[x_],
                        .gamma = weights_.scale.value,
                        .beta = weights_.shift.value,
                        .running_mean = weights_.running_mean.value,
                        .running_var = weights_.running_variance.value,
                        .y = m[y_],
                        .epsilon = epsilon_,
                        .activation = activation_});
    return;
  }
  batchnorm_train(c, {.x = m[x_],
                      .gamma = weights_.scale.value,
                      .beta = weights_.shift.value,
                      .y = m[y_],
                      .saved_mean = m[mean_],
                      .saved_inv_std = m[inv_std_],
                      .saved_scale = optional(m, scale_),
                      .saved_shift = optional(m, shift_),
                      .running_mean = weights_.running_mean.value,
                      .running_var = weights_.running_variance.value,
                      .momentum = momentum_,
                      .epsilon = epsilon_,
                      .activation = activation_,
                      .scratch = m.scratch(),
                      .ranks = c.channel_exchange});
}

void BatchNorm::do_backward(Context& c, const Memory& m) {
  batchnorm_grad(c, {.x = m[x_],
                     .y = activation_ == Activation::relu ? m[y_] : Tensor{},
                     .gamma = weights_.scale.value,
                     .beta = weights_.shift.value,
                     .saved_mean = m[mean_],
                     .saved_inv_std = m[inv_std_],
                     .dy = m[dy_],
                     .dx = mode_ == GradWrite::skip ? Tensor{} : m[dx_],
                     .dgamma = gradient_of(weights_.scale, m, dgamma_),
                     .dbeta = weights_.shift.gradient,
                     .activation = activation_,
                     .mode = mode_,
                     .scratch = m.scratch(),
                     .ranks = c.channel_exchange});
}

void BatchNorm::do_plan_output_again(Planner& p) {
  if (keeps_output_ == KeepsOutput::yes) return;
  p.op({.name = name() + ".again", .reads = {x_, mean_, scale_, shift_}, .writes = {y_}});
}

void BatchNorm::do_output_again(Context& c, const Memory& m) {
  batchnorm_apply(c, {.x = m[x_],
                      .mean = m[mean_],
                      .scale = m[scale_],
                      .shift = m[shift_],
                      .y = m[y_],
                      .activation = activation_});
}

}  // namespace kiln
