#include "engine/train/layers/linear.h"

#include <algorithm>

#include "engine/train/layers/unwanted_gradient.h"
#include "kernels/include/linear.h"
#include "kernels/include/linear_grad.h"

namespace kiln {
namespace {

Tensor as_rows(const Tensor& x) {
  const std::int64_t rows = x.shape()[0];
  return x.reshaped({rows, x.element_count() / rows});
}

}  // namespace

std::string Linear::description() const {
  const Shape& shape = weight_.shape;
  return "linear " + std::to_string(shape[1]) + " -> " + std::to_string(shape[0]) +
         (activation_ == Activation::relu ? " + relu" : "");
}

Slot Linear::do_plan_forward(Planner& p, Slot x) {
  const std::int64_t rows = p.shape(x)[0];
  x_ = x;
  y_ = p.define(name() + ".y", {rows, weight_.shape[0]});
  p.op({.name = name(),
        .reads = {x},
        .writes = {y_},
        .scratch_bytes = linear_scratch_bytes(p.context(), rows, weight_.shape[1], weight_.shape[0],
                                              p.dtype())});
  return y_;
}

void Linear::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  const std::string op = name() + ".grad";
  const Slot mask = activation_ == Activation::relu ? y_ : x_;  // y is needed for the relu alone
  const std::size_t scratch = linear_grad_scratch_bytes(
      p.context(), p.shape(x_)[0], weight_.shape[1], weight_.shape[0], p.dtype());
  dw_ = unwanted_gradient(p, weight_);
  const bool add = mode == GradWrite::accumulate;
  p.op({.name = op,
        .reads = {dy, x_, mask},
        .writes = {add ? Slot{} : dx, dw_},
        .updates = {add ? dx : Slot{}},
        .scratch_bytes = scratch});
}

void Linear::do_forward(Context& c, const Memory& m) {
  linear(c, {.x = as_rows(m[x_]),
             .w = weight_.working,
             .bias = bias_ ? bias_->working : Tensor{},
             .y = m[y_],
             .activation = activation_,
             .scratch = m.scratch()});
}

void Linear::do_backward(Context& c, const Memory& m) {
  linear_grad(c, {.x = as_rows(m[x_]),
                  .w = weight_.working,
                  .y = activation_ == Activation::relu ? m[y_] : Tensor{},
                  .dy = m[dy_],
                  .dx = mode_ == GradWrite::skip ? Tensor{} : as_rows(m[dx_]),
                  .dw = gradient_of(weight_, m, dw_),
                  .dbias = bias_ ? bias_->gradient : Tensor{},
                  .activation = activation_,
                  .mode = mode_,
                  .scratch = m.scratch()});
}

}  // namespace kiln
