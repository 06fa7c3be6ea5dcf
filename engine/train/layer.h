// Layer: explicit forward and backward over planned memory. There is no autograd.
//
// A layer holds slot numbers, never pointers. It says at plan time what each pass reads and writes;
// what backward needs is exactly what its plan_backward names as read. The public functions are
// not virtual: they check the order of calls and keep the debug arena honest; a layer overrides the
// do_ functions.
#pragma once

#include <string>
#include <string_view>

#include "engine/core/context.h"
#include "engine/core/memory.h"
#include "engine/core/planner.h"
#include "kernels/include/grad_write.h"

namespace kiln {

class Layer {
 public:
  explicit Layer(std::string name) : name_(std::move(name)) {}
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;

  const std::string& name() const { return name_; }
  // What the layer is and how it runs: "conv2d + relu, own direct kernel".
  virtual std::string description() const = 0;

  // Books the output and the ops of forward; returns the output's slot.
  Slot plan_forward(Planner& p, Slot x);
  // Books backward. `dy`: gradient of the output, already planned. `dx`: where the input's gradient
  // goes, unless mode is skip. Parameter gradients are overwritten.
  void plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode);
  // Books what makes the output once more before backward of the layer behind needs it, where
  // forward leaves the memory to others; nothing in most layers, which keep it.
  void plan_output_again(Planner& p);
  void forward(Context& c, const Memory& m);
  void output_again(Context& c, const Memory& m);
  void backward(Context& c, const Memory& m);

  // Whether backward has gradients of parameters to write that somebody wants.
  virtual bool trains() const { return trains_; }
  void set_trains(bool trains) { trains_ = trains; }

  // Where forward leaves its result; valid after plan_forward.
  Slot output() const { return output_; }

 protected:
  virtual Slot do_plan_forward(Planner& p, Slot x) = 0;
  virtual void do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) = 0;
  virtual void do_forward(Context& c, const Memory& m) = 0;
  virtual void do_backward(Context& c, const Memory& m) = 0;
  virtual void do_plan_output_again(Planner&) {}
  virtual void do_output_again(Context&, const Memory&) {}

 private:
  struct OpRange {
    int begin = -1, end = -1;
  };

  std::string name_;
  bool trains_ = false;
  Slot output_;
  OpRange forward_ops_, again_ops_, backward_ops_;
};

}  // namespace kiln
