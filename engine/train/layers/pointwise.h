// Relu, Gelu, Scale and Dropout: one element in, one element out.
#pragma once

#include <cstdint>

#include "engine/train/layer.h"

namespace kiln {

// y = max(x, 0). Backward needs y alone, so both passes may run in place.
class Relu final : public Layer {
 public:
  using Layer::Layer;
  std::string description() const override { return "relu"; }

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

// y = x * Phi(x), Phi the standard normal distribution (exact, by erf). Backward needs x.
class Gelu final : public Layer {
 public:
  using Layer::Layer;
  std::string description() const override { return "gelu"; }

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

// y = factor x. Backward needs nothing.
class Scale final : public Layer {
 public:
  Scale(std::string name, double factor) : Layer(std::move(name)), factor_(factor) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  double factor_;
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

// y = x * keep / (1 - p) while training, y = x in evaluation. The mask is a function of the seed,
// the step and the layer's number, so backward draws it again and nothing is stored.
class Dropout final : public Layer {
 public:
  Dropout(std::string name, double probability, bool channel, std::uint32_t layer_id)
      : Layer(std::move(name)), probability_(probability), channel_(channel), layer_id_(layer_id) {}
  std::string description() const override;

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  double probability_;
  bool channel_;
  std::uint32_t layer_id_;
  Slot x_, y_, dy_, dx_;
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
