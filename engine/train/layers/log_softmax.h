// LogSoftmax over the rows of [N, K].
#pragma once

#include "engine/train/layer.h"

namespace kiln {

class LogSoftmax final : public Layer {
 public:
  using Layer::Layer;
  std::string description() const override { return "log_softmax"; }

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
