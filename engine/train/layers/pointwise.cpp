#include "engine/train/layers/pointwise.h"

#include <cstdio>

#include "kernels/include/dropout.h"
#include "kernels/include/dropout_grad.h"
#include "kernels/include/gelu.h"
#include "kernels/include/gelu_grad.h"
#include "kernels/include/relu.h"
#include "kernels/include/relu_grad.h"
#include "kernels/include/scale.h"

namespace kiln {
namespace {

// Books an op that turns `reads` into dx: replaced, in place where possible, or added to.
void plan_gradient(Planner& p, const std::string& name, std::initializer_list<Slot> reads, Slot dx,
                   GradWrite mode) {
  if (mode == GradWrite::overwrite)
    p.op({.name = name, .reads = reads, .writes = {dx}, .may_alias = true});
  if (mode == GradWrite::accumulate) p.op({.name = name, .reads = reads, .updates = {dx}});
}

}  // namespace

Slot Relu::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  p.op({.name = name(), .reads = {x}, .writes = {y_}, .may_alias = true});
  return y_;
}

void Relu::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_gradient(p, name() + ".grad", {dy, y_}, dx, mode);
}

void Relu::do_forward(Context& c, const Memory& m) { relu(c, {.x = m[x_], .y = m[y_]}); }

void Relu::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  relu_grad(c, {.y = m[y_], .dy = m[dy_], .dx = m[dx_], .mode = mode_});
}

Slot Gelu::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  p.op({.name = name(), .reads = {x}, .writes = {y_}, .may_alias = true});
  return y_;
}

void Gelu::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_gradient(p, name() + ".grad", {dy, x_}, dx, mode);
}

void Gelu::do_forward(Context& c, const Memory& m) { gelu(c, {.x = m[x_], .y = m[y_]}); }

void Gelu::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  gelu_grad(c, {.x = m[x_], .dy = m[dy_], .dx = m[dx_], .mode = mode_});
}

std::string Scale::description() const {
  char text[40];
  std::snprintf(text, sizeof text, "scale by %g", factor_);
  return text;
}

Slot Scale::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  p.op({.name = name(), .reads = {x}, .writes = {y_}, .may_alias = true});
  return y_;
}

void Scale::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_gradient(p, name() + ".grad", {dy}, dx, mode);
}

void Scale::do_forward(Context& c, const Memory& m) {
  scale(c, {.x = m[x_], .y = m[y_], .factor = factor_});
}

void Scale::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  scale(c, {.x = m[dy_], .y = m[dx_], .factor = factor_, .mode = mode_});
}

std::string Dropout::description() const {
  return std::string(channel_ ? "dropout of channels, p = " : "dropout, p = ") +
         std::to_string(probability_).substr(0, 5);
}

Slot Dropout::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  p.op({.name = name(), .reads = {x}, .writes = {y_}, .may_alias = true});
  return y_;
}

void Dropout::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_gradient(p, name() + ".grad", {dy}, dx, mode);
}

void Dropout::do_forward(Context& c, const Memory& m) {
  // In evaluation nothing is dropped; the same op with p = 0 is a copy, in place a no-op.
  const double p = c.mode == Mode::train ? probability_ : 0.0;
  dropout(c, {.x = m[x_],
              .y = m[y_],
              .p = p,
              .channel = channel_,
              .seed = c.counter.seed,
              .epoch = c.counter.epoch,
              .step = c.counter.step,
              .layer_id = layer_id_,
              .state = c.step_state});
}

void Dropout::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  dropout_grad(c, {.dy = m[dy_],
                   .dx = m[dx_],
                   .p = probability_,
                   .channel = channel_,
                   .seed = c.counter.seed,
                   .epoch = c.counter.epoch,
                   .step = c.counter.step,
                   .layer_id = layer_id_,
                   .state = c.step_state,
                   .mode = mode_});
}

}  // namespace kiln
