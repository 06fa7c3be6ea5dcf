// MaxPool and AvgPool over windows of [N, H, W, C].
#pragma once

#include "engine/train/layer.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

// Forward saves the position of each maximum inside its window, one byte per output.
class MaxPool final : public Layer {
 public:
  // `window`: sizes, strides and padding; the input's extents come from the slot.
  MaxPool(std::string name, const Pool2dShape& window) : Layer(std::move(name)), shape_(window) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Pool2dShape shape_;
  Slot x_, y_, index_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

class AvgPool final : public Layer {
 public:
  AvgPool(std::string name, const Pool2dShape& window, bool count_include_pad)
      : Layer(std::move(name)), shape_(window), count_include_pad_(count_include_pad) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Pool2dShape shape_;
  bool count_include_pad_;
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

// The pooling problem of `window` on a slot of shape [N, H, W, C].
Pool2dShape on_input(Pool2dShape window, const Shape& input);

}  // namespace kiln
