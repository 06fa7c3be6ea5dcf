// Conv2d, and the fused Conv2dReluMaxPool for first layers with few channels.
#pragma once

#include <memory>

#include "engine/train/layer.h"
#include "engine/train/parameters.h"
#include "kernels/include/activation.h"
#include "kernels/include/conv2d_provider.h"
#include "kernels/include/pool2d_shape.h"

namespace kiln {

// y = act(conv(x, w) + b), computed by the first provider that takes the shape.
class Conv2d final : public Layer {
 public:
  // `geometry`: kernel, strides, padding, dilation, groups and K; the rest comes from the input.
  // `providers` must outlive the planning of the layer. `bias` may be null.
  Conv2d(std::string name, const Conv2dShape& geometry, const Parameter& weight,
         const Parameter* bias, Activation activation, Conv2dProviders& providers)
      : Layer(std::move(name)),
        shape_(geometry),
        weight_(weight),
        bias_(bias),
        activation_(activation),
        providers_(providers) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Conv2dProblem problem(const Planner& p) const;

  Conv2dShape shape_;
  const Parameter& weight_;
  const Parameter* bias_;
  Activation activation_;
  Conv2dProviders& providers_;
  std::unique_ptr<Conv2dForward> forward_;
  std::unique_ptr<Conv2dBackward> backward_;
  Slot x_, y_, dy_, dz_, dx_;
  Slot dw_;  // where the gradient of a weight goes that is not trained
  GradWrite mode_ = GradWrite::skip;
};

// y = maxpool(relu(conv(x, w) + b)) in one pass; the picture between convolution and pooling is
// never stored, and backward touches only the winners of each window.
class Conv2dReluMaxPool final : public Layer {
 public:
  Conv2dReluMaxPool(std::string name, const Conv2dShape& geometry, const Pool2dShape& window,
                    const Parameter& weight, const Parameter* bias)
      : Layer(std::move(name)), shape_(geometry), pool_(window), weight_(weight), bias_(bias) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Conv2dShape shape_;
  Pool2dShape pool_;
  const Parameter& weight_;
  const Parameter* bias_;
  Slot x_, y_, index_, dy_, dx_;
  Slot dw_;  // as in Conv2d
  GradWrite mode_ = GradWrite::skip;
};

// The convolution problem of `geometry` on an input of shape [N, H, W, C].
Conv2dShape on_input(Conv2dShape geometry, const Shape& input);

}  // namespace kiln
