// BatchNorm over the channels of [..., C], with an optional relu or gelu in the same pass.
//
// Its x is kept for backward anyway, so that y need not be: with `KeepsOutput::no` its memory is
// free between the passes, and backward makes y again, with the same bits.
#pragma once

#include "engine/train/layer.h"
#include "engine/train/parameters.h"
#include "kernels/include/activation.h"

namespace kiln {

enum class KeepsOutput { yes, no };

class BatchNorm final : public Layer {
 public:
  struct Weights {
    const Parameter &scale, &shift, &running_mean, &running_variance;
  };
  BatchNorm(std::string name, const Weights& weights, double momentum, double epsilon,
            Activation activation, KeepsOutput keeps_output)
      : Layer(std::move(name)),
        weights_(weights),
        momentum_(momentum),
        epsilon_(epsilon),
        activation_(activation),
        keeps_output_(keeps_output) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;
  void do_plan_output_again(Planner& p) override;
  void do_output_again(Context& c, const Memory& m) override;

 private:
  Weights weights_;
  double momentum_, epsilon_;
  Activation activation_;
  KeepsOutput keeps_output_;
  Slot x_, y_, mean_, inv_std_, dy_, dx_;
  Slot scale_, shift_;  // of a y that is made again
  Slot dgamma_;         // where the gradient of a scale goes that stays 1
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
