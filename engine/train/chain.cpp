#include "engine/train/chain.h"

#include <algorithm>

#include "kernels/include/accumulate.h"
#include "kernels/include/add_relu.h"
#include "kernels/include/add_relu_grad.h"

namespace kiln {

std::string Chain::description() const {
  return "chain of " + std::to_string(layers_.size()) + " layers";
}

Slot Chain::do_plan_forward(Planner& p, Slot x) {
  inputs_.clear();
  for (const auto& layer : layers_) {
    inputs_.push_back(x);
    x = layer->plan_forward(p, x);
  }
  return x;
}

bool Chain::trains() const {
  return std::ranges::any_of(layers_, [](const auto& layer) { return layer->trains(); });
}

// Only the first layer writes the chain's own dx; all others replace a gradient that lives until
// the layer before has used it. Where nobody wants that dx, backward ends at the first layer that
// has parameters to train.
void Chain::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  first_ = 0;
  if (mode == GradWrite::skip)
    while (first_ < layers_.size() && !layers_[first_]->trains()) ++first_;
  for (std::size_t i = layers_.size(); i-- > first_;) {
    if (i > 0) layers_[i - 1]->plan_output_again(p);
    const bool first = i == first_;
    const Slot dx_i = first ? dx : p.define(layers_[i]->name() + ".dx", p.shape(inputs_[i]));
    layers_[i]->plan_backward(p, dy, dx_i, first ? mode : GradWrite::overwrite);
    dy = dx_i;
  }
}

void Chain::do_forward(Context& c, const Memory& m) {
  for (const auto& layer : layers_) layer->forward(c, m);
}

void Chain::do_backward(Context& c, const Memory& m) {
  for (std::size_t i = layers_.size(); i-- > first_;) {
    if (i > 0) layers_[i - 1]->output_again(c, m);
    layers_[i]->backward(c, m);
  }
}

std::string Residual::description() const {
  return shortcut_->empty() ? "relu(body + x)" : "relu(body + shortcut)";
}

Slot Residual::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  branch_ = body_->plan_forward(p, x);
  skip_ = shortcut_->empty() ? x : shortcut_->plan_forward(p, x);
  y_ = p.define(name() + ".y", p.shape(branch_));
  p.op(
      {.name = name() + ".add_relu", .reads = {branch_, skip_}, .writes = {y_}, .may_alias = true});
  return y_;
}

void Residual::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  dsum_ = p.define(name() + ".dsum", p.shape(y_));
  p.op({.name = name() + ".add_relu_grad",  // gradient through the relu
        .reads = {dy, y_},
        .writes = {dsum_},
        .may_alias = true});
  body_->plan_backward(p, dsum_, dx, mode);  // the long path writes dx
  if (mode == GradWrite::skip) {
    if (!shortcut_->empty()) shortcut_->plan_backward(p, dsum_, dx, mode);
  } else if (shortcut_->empty()) {
    p.op({.name = name() + ".accumulate", .reads = {dsum_}, .updates = {dx}});
  } else {
    shortcut_->plan_backward(p, dsum_, dx, GradWrite::accumulate);  // the short path adds to it
  }
}

void Residual::do_forward(Context& c, const Memory& m) {
  body_->forward(c, m);
  if (!shortcut_->empty()) shortcut_->forward(c, m);
  add_relu(c, {.a = m[branch_], .b = m[skip_], .y = m[y_], .activation = Activation::relu});
}

void Residual::do_backward(Context& c, const Memory& m) {
  add_relu_grad(c, {.y = m[y_], .dy = m[dy_], .dsum = m[dsum_], .activation = Activation::relu});
  body_->backward(c, m);
  if (!shortcut_->empty())
    shortcut_->backward(c, m);
  else if (mode_ != GradWrite::skip)
    accumulate(c, {.x = m[dsum_], .y = m[dx_]});
}

}  // namespace kiln
