#include "engine/train/layers/conv2d.h"

#include "engine/train/layers/pooling.h"
#include "engine/train/layers/unwanted_gradient.h"
#include "kernels/include/conv2d_relu_maxpool.h"
#include "kernels/include/conv2d_relu_maxpool_grad.h"
#include "kernels/include/relu_grad.h"

namespace kiln {

Conv2dShape on_input(Conv2dShape geometry, const Shape& input) {
  geometry.n = input[0];
  geometry.h = input[1];
  geometry.w = input[2];
  geometry.c = input[3];
  return geometry;
}

std::string Conv2d::description() const {
  std::string text = "conv2d " + to_string(shape_);
  if (activation_ == Activation::relu) text += " + relu";
  if (forward_) text += ", " + std::string(forward_->algorithm());
  return text;
}

Conv2dProblem Conv2d::problem(const Planner& p) const {
  return {.shape = shape_,
          .dtype = p.dtype(),
          .activation = activation_,
          .has_bias = bias_ != nullptr,
          .deterministic = p.context().deterministic(),
          .thread_count = p.context().pool().thread_count()};
}

Slot Conv2d::do_plan_forward(Planner& p, Slot x) {
  shape_ = on_input(shape_, p.shape(x));
  forward_ = providers_.forward(problem(p));
  x_ = x;
  y_ = p.define(name() + ".y", shape_.output());
  p.op({.name = name(), .reads = {x}, .writes = {y_}, .scratch_bytes = forward_->scratch_bytes()});
  return y_;
}

// With a relu behind the convolution, dz = dy where y > 0; without one dz is dy.
void Conv2d::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  Conv2dProblem wanted = problem(p);
  wanted.dx = mode;
  backward_ = providers_.backward(wanted);
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  dz_ = dy;
  if (activation_ == Activation::relu) {
    dz_ = p.define(name() + ".dz", p.shape(y_));
    p.op({.name = name() + ".relu_grad", .reads = {dy, y_}, .writes = {dz_}, .may_alias = true});
  }
  const std::size_t scratch = backward_->scratch_bytes();
  const std::string op = name() + ".grad";
  dw_ = unwanted_gradient(p, weight_);
  const bool add = mode == GradWrite::accumulate;
  p.op({.name = op,
        .reads = {dz_, x_},
        .writes = {add ? Slot{} : dx, dw_},
        .updates = {add ? dx : Slot{}},
        .scratch_bytes = scratch});
}

void Conv2d::do_forward(Context& c, const Memory& m) {
  forward_->run(c, {.shape = shape_,
                    .x = m[x_],
                    .w = weight_.working,
                    .bias = bias_ ? bias_->working : Tensor{},
                    .y = m[y_],
                    .activation = activation_,
                    .scratch = m.scratch()});
}

void Conv2d::do_backward(Context& c, const Memory& m) {
  if (activation_ == Activation::relu)
    relu_grad(c, {.y = m[y_], .dy = m[dy_], .dx = m[dz_], .mode = GradWrite::overwrite});
  backward_->run(c, {.shape = shape_,
                     .x = m[x_],
                     .w = weight_.working,
                     .dy = m[dz_],
                     .dx = mode_ == GradWrite::skip ? Tensor{} : m[dx_],
                     .dw = gradient_of(weight_, m, dw_),
                     .dbias = bias_ ? bias_->gradient : Tensor{},
                     .mode = mode_,
                     .scratch = m.scratch()});
}

std::string Conv2dReluMaxPool::description() const {
  return "conv2d " + to_string(shape_) + " + relu + max_pool " + std::to_string(pool_.r) + "x" +
         std::to_string(pool_.s) + ", own fused kernel";
}

Slot Conv2dReluMaxPool::do_plan_forward(Planner& p, Slot x) {
  shape_ = on_input(shape_, p.shape(x));
  pool_ = on_input(pool_, shape_.output());
  x_ = x;
  y_ = p.define(name() + ".y", pool_.output());
  index_ = p.define(name() + ".index", pool_.output(), DType::u8);
  p.op({.name = name(),
        .reads = {x},
        .writes = {y_, index_},
        .scratch_bytes = conv2d_relu_maxpool_scratch_bytes(p.context(), shape_, pool_, p.dtype())});
  return y_;
}

void Conv2dReluMaxPool::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  const std::size_t scratch =
      conv2d_relu_maxpool_grad_scratch_bytes(p.context(), shape_, pool_, p.dtype());
  const std::string op = name() + ".grad";
  dw_ = unwanted_gradient(p, weight_);
  const bool add = mode == GradWrite::accumulate;
  p.op({.name = op,
        .reads = {dy, x_, y_, index_},
        .writes = {add ? Slot{} : dx, dw_},
        .updates = {add ? dx : Slot{}},
        .scratch_bytes = scratch});
}

void Conv2dReluMaxPool::do_forward(Context& c, const Memory& m) {
  conv2d_relu_maxpool(c, {.shape = shape_,
                          .pool = pool_,
                          .x = m[x_],
                          .w = weight_.value,
                          .bias = bias_ ? bias_->value : Tensor{},
                          .y = m[y_],
                          .index = m[index_],
                          .scratch = m.scratch()});
}

void Conv2dReluMaxPool::do_backward(Context& c, const Memory& m) {
  conv2d_relu_maxpool_grad(c, {.shape = shape_,
                               .pool = pool_,
                               .x = m[x_],
                               .w = weight_.value,
                               .y = m[y_],
                               .index = m[index_],
                               .dy = m[dy_],
                               .dx = mode_ == GradWrite::skip ? Tensor{} : m[dx_],
                               .dw = gradient_of(weight_, m, dw_),
                               .dbias = bias_ ? bias_->gradient : Tensor{},
                               .mode = mode_,
                               .scratch = m.scratch()});
}

}  // namespace kiln
