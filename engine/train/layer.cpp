#include "engine/train/layer.h"

#include "engine/core/check.h"
#include "engine/train/backward_listener.h"

namespace kiln {

Slot Layer::plan_forward(Planner& p, Slot x) {
  forward_ops_.begin = p.op_count();
  output_ = do_plan_forward(p, x);
  forward_ops_.end = p.op_count();
  return output_;
}

void Layer::plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  KILN_CHECK(forward_ops_.end >= 0);
  KILN_CHECK(static_cast<bool>(dx) == (mode != GradWrite::skip));
  backward_ops_.begin = p.op_count();
  do_plan_backward(p, dy, dx, mode);
  backward_ops_.end = p.op_count();
}

void Layer::plan_output_again(Planner& p) {
  again_ops_.begin = p.op_count();
  do_plan_output_again(p);
  again_ops_.end = p.op_count();
}

void Layer::forward(Context& c, const Memory& m) {
  do_forward(c, m);
  m.after_ops(forward_ops_.begin, forward_ops_.end);
}

void Layer::output_again(Context& c, const Memory& m) {
  if (again_ops_.begin == again_ops_.end) return;
  do_output_again(c, m);
  m.after_ops(again_ops_.begin, again_ops_.end);
}

void Layer::backward(Context& c, const Memory& m) {
  KILN_CHECK(backward_ops_.end >= 0);
  do_backward(c, m);
  m.after_ops(backward_ops_.begin, backward_ops_.end);
  if (c.backward_listener != nullptr) c.backward_listener->layer_done(name_);
}

}  // namespace kiln
