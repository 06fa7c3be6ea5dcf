// Linear: y = act(x w^T + b) on rows. A picture [N, H, W, C] is read as the row H*W*C, so a flatten
// in front costs nothing.
#pragma once

#include "engine/train/layer.h"
#include "engine/train/parameters.h"
#include "kernels/include/activation.h"

namespace kiln {

class Linear final : public Layer {
 public:
  // `bias` may be null.
  Linear(std::string name, const Parameter& weight, const Parameter* bias, Activation activation)
      : Layer(std::move(name)), weight_(weight), bias_(bias), activation_(activation) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  const Parameter& weight_;
  const Parameter* bias_;
  Activation activation_;
  Slot x_, y_, dy_, dx_;
  Slot dw_;  // where the gradient of a weight goes that is not trained
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
