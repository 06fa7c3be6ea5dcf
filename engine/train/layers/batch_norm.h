// BatchNorm over the channels of [..., C], with an optional relu or gelu in the same pass.
#pragma once

#include "engine/train/layer.h"
#include "engine/train/parameters.h"
#include "kernels/include/activation.h"

namespace kiln {

class BatchNorm final : public Layer {
 public:
  struct Weights {
    const Parameter &scale, &shift, &running_mean, &running_variance;
  };
  BatchNorm(std::string name, const Weights& weights, double momentum, double epsilon,
            Activation activation)
      : Layer(std::move(name)),
        weights_(weights),
        momentum_(momentum),
        epsilon_(epsilon),
        activation_(activation) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Weights weights_;
  double momentum_, epsilon_;
  Activation activation_;
  Slot x_, y_, mean_, inv_std_, dy_, dx_;
  Slot dgamma_;  // where the gradient of a scale goes that stays 1
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
