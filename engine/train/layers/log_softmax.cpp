#include "engine/train/layers/log_softmax.h"

#include "kernels/include/log_softmax.h"
#include "kernels/include/log_softmax_grad.h"

namespace kiln {

Slot LogSoftmax::do_plan_forward(Planner& p, Slot x) {
  x_ = x;
  y_ = p.define(name() + ".y", p.shape(x));
  p.op({.name = name(), .reads = {x}, .writes = {y_}});
  return y_;
}

void LogSoftmax::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  const std::string op = name() + ".grad";
  if (mode == GradWrite::overwrite) p.op({.name = op, .reads = {dy, y_}, .writes = {dx}});
  if (mode == GradWrite::accumulate) p.op({.name = op, .reads = {dy, y_}, .updates = {dx}});
}

void LogSoftmax::do_forward(Context& c, const Memory& m) {
  log_softmax(c, {.x = m[x_], .y = m[y_]});
}

void LogSoftmax::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  log_softmax_grad(c, {.y = m[y_], .dy = m[dy_], .dx = m[dx_], .mode = mode_});
}

}  // namespace kiln
