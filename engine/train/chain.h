// Chain: layers one after the other; and Residual: the sum of two chains.
#pragma once

#include <memory>
#include <vector>

#include "engine/train/layer.h"

namespace kiln {

class Chain final : public Layer {
 public:
  Chain(std::string name, std::vector<std::unique_ptr<Layer>> layers)
      : Layer(std::move(name)), layers_(std::move(layers)) {}

  std::string description() const override;
  bool trains() const override;
  const std::vector<std::unique_ptr<Layer>>& layers() const { return layers_; }
  bool empty() const { return layers_.empty(); }

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<Slot> inputs_;  // x of every layer
  std::size_t first_ = 0;     // where backward ends: nobody needs a gradient below it
};

// y = relu(body(x) + shortcut(x)); an empty shortcut is the identity.
class Residual final : public Layer {
 public:
  Residual(std::string name, std::unique_ptr<Chain> body, std::unique_ptr<Chain> shortcut)
      : Layer(std::move(name)), body_(std::move(body)), shortcut_(std::move(shortcut)) {}

  std::string description() const override;
  bool trains() const override { return body_->trains() || shortcut_->trains(); }
  const Chain& body() const { return *body_; }
  const Chain& shortcut() const { return *shortcut_; }

 protected:
  Slot do_plan_forward(Planner& p, Slot x) override;
  void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) override;
  void do_forward(Context& c, const Memory& m) override;
  void do_backward(Context& c, const Memory& m) override;

 private:
  std::unique_ptr<Chain> body_, shortcut_;
  Slot x_, branch_, skip_, y_, dy_, dx_, dsum_;
  GradWrite mode_ = GradWrite::skip;
};

}  // namespace kiln
