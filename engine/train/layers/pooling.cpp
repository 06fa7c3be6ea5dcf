#include "engine/train/layers/pooling.h"

#include "kernels/include/avgpool.h"
#include "kernels/include/avgpool_grad.h"
#include "kernels/include/maxpool.h"
#include "kernels/include/maxpool_grad.h"

namespace kiln {
namespace {

std::string window_text(const Pool2dShape& shape) {
  return std::to_string(shape.r) + "x" + std::to_string(shape.s) + ", stride " +
         std::to_string(shape.stride_h);
}

void plan_pool_gradient(Planner& p, const std::string& name, std::initializer_list<Slot> reads,
                        Slot dx, GradWrite mode) {
  if (mode == GradWrite::overwrite) p.op({.name = name, .reads = reads, .writes = {dx}});
  if (mode == GradWrite::accumulate) p.op({.name = name, .reads = reads, .updates = {dx}});
}

}  // namespace

Pool2dShape on_input(Pool2dShape window, const Shape& input) {
  window.n = input[0];
  window.h = input[1];
  window.w = input[2];
  window.c = input[3];
  return window;
}

std::string MaxPool::description() const { return "max_pool " + window_text(shape_); }

Slot MaxPool::do_plan_forward(Planner& p, Slot x) {
  shape_ = on_input(shape_, p.shape(x));
  x_ = x;
  y_ = p.define(name() + ".y", shape_.output());
  index_ = p.define(name() + ".index", shape_.output(), DType::u8);
  p.op({.name = name(), .reads = {x}, .writes = {y_, index_}});
  return y_;
}

void MaxPool::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_pool_gradient(p, name() + ".grad", {dy, index_}, dx, mode);
}

void MaxPool::do_forward(Context& c, const Memory& m) {
  maxpool(c, {.shape = shape_, .x = m[x_], .y = m[y_], .index = m[index_]});
}

void MaxPool::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  maxpool_grad(c, {.shape = shape_, .index = m[index_], .dy = m[dy_], .dx = m[dx_], .mode = mode_});
}

std::string AvgPool::description() const { return "avg_pool " + window_text(shape_); }

Slot AvgPool::do_plan_forward(Planner& p, Slot x) {
  shape_ = on_input(shape_, p.shape(x));
  x_ = x;
  y_ = p.define(name() + ".y", shape_.output());
  p.op({.name = name(), .reads = {x}, .writes = {y_}});
  return y_;
}

void AvgPool::do_plan_backward(Planner& p, Slot dy, Slot dx, GradWrite mode) {
  dy_ = dy;
  dx_ = dx;
  mode_ = mode;
  plan_pool_gradient(p, name() + ".grad", {dy}, dx, mode);
}

void AvgPool::do_forward(Context& c, const Memory& m) {
  avgpool(c, {.shape = shape_, .x = m[x_], .y = m[y_], .count_include_pad = count_include_pad_});
}

void AvgPool::do_backward(Context& c, const Memory& m) {
  if (mode_ == GradWrite::skip) return;
  avgpool_grad(c, {.shape = shape_,
                   .dy = m[dy_],
                   .dx = m[dx_],
                   .mode = mode_,
                   .count_include_pad = count_include_pad_});
}

}  // namespace kiln
