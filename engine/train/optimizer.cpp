#include "engine/train/optimizer.h"

#include "engine/core/error.h"
#include "engine/core/planned_buffer.h"
#include "kernels/include/accumulate.h"
#include "kernels/include/adadelta_step.h"
#include "kernels/include/adam_step.h"
#include "kernels/include/find_nonfinite.h"
#include "kernels/include/loss_scale_update.h"
#include "kernels/include/sgd_step.h"

namespace kiln {
namespace {

std::vector<std::string> state_names(const OptimizerOptions& options) {
  switch (options.kind) {
    case OptimizerKind::sgd:
      if (options.momentum == 0.0) return {};
      return {"momentum_buffer"};
    case OptimizerKind::adadelta:
      return {"square_avg", "acc_delta"};
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return {"exp_avg", "exp_avg_sq"};
  }
  return {};
}

void require(bool holds, std::string_view flag, std::string_view wrong) {
  if (!holds) throw Error(ErrorKind::usage, flag, wrong);
}

void check(const OptimizerOptions& o) {
  require(o.momentum >= 0.0, "--momentum", "must be zero or more");
  require(o.weight_decay >= 0.0, "--weight-decay", "must be zero or more");
  require(!o.nesterov || (o.momentum > 0.0 && o.dampening == 0.0), "--nesterov",
          "needs a momentum above zero and no dampening");
  require(o.rho >= 0.0 && o.rho <= 1.0, "--rho", "must be 0 to 1");
  require(o.beta1 >= 0.0 && o.beta1 < 1.0, "--beta1", "must be 0 to 1, 1 excluded");
  require(o.beta2 >= 0.0 && o.beta2 < 1.0, "--beta2", "must be 0 to 1, 1 excluded");
  require(o.epsilon >= 0.0, "--epsilon", "must be zero or more");
}

}  // namespace

std::string_view name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd:
      return "sgd";
    case OptimizerKind::adadelta:
      return "adadelta";
    case OptimizerKind::adam:
      return "adam";
    case OptimizerKind::adamw:
      return "adamw";
  }
  return "?";
}

OptimizerKind parse_optimizer(std::string_view name) {
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::adadelta, OptimizerKind::adam, OptimizerKind::adamw})
    if (name_of(kind) == name) return kind;
  throw Error(ErrorKind::usage, "--optimizer " + printable(name), "is no known optimizer",
              "use sgd, adadelta, adam or adamw");
}

Optimizer::Optimizer(const OptimizerOptions& options, const ParameterStore& parameters)
    : options_(options), parameters_(parameters) {
  check(options);
  const Tensor values = parameters.flat_values();
  for (std::string& name : state_names(options)) {
    buffers_.push_back(planned_buffer("optimizer's " + name, values.device(), values.size_bytes()));
    states_.push_back({std::move(name), Tensor(buffers_.back().data(), values.shape(),
                                               values.dtype(), values.device())});
  }
}

// One update of some parameters; `states` as in state_names.
void Optimizer::update(Context& c, double learning_rate, const Update& u) const {
  const OptimizerOptions& o = options_;
  switch (o.kind) {
    case OptimizerKind::sgd:
      return sgd_step(c, {.w = u.w,
                          .grad = u.grad,
                          .grad_rest = u.grad_rest,
                          .momentum_buffer = u.states[0],
                          .copy = u.copy,
                          .loss_scale = u.loss_scale,
                          .lr = learning_rate,
                          .momentum = o.momentum,
                          .dampening = o.dampening,
                          .weight_decay = o.weight_decay,
                          .nesterov = o.nesterov,
                          .first_step = step_count_ == 1,
                          .state = c.step_state});
    case OptimizerKind::adadelta:
      return adadelta_step(c, {.w = u.w,
                               .grad = u.grad,
                               .square_avg = u.states[0],
                               .acc_delta = u.states[1],
                               .copy = u.copy,
                               .loss_scale = u.loss_scale,
                               .lr = learning_rate,
                               .rho = o.rho,
                               .eps = o.epsilon,
                               .weight_decay = o.weight_decay,
                               .state = c.step_state});
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return adam_step(c, {.w = u.w,
                           .grad = u.grad,
                           .exp_avg = u.states[0],
                           .exp_avg_sq = u.states[1],
                           .copy = u.copy,
                           .loss_scale = u.loss_scale,
                           .lr = learning_rate,
                           .beta1 = o.beta1,
                           .beta2 = o.beta2,
                           .eps = o.epsilon,
                           .weight_decay = o.weight_decay,
                           .decoupled = o.kind == OptimizerKind::adamw,
                           .step = step_count_,
                           .state = c.step_state});
  }
}

void Optimizer::step(Context& c, double learning_rate, const Tensor& rest) {
  const Tensor gradient = parameters_.flat_gradients();
  const bool sgd = options_.kind == OptimizerKind::sgd;
  ++step_count_;
  if (!rest.empty() && !sgd) accumulate(c, {.x = rest, .y = gradient});
  if (parameters_.narrow_gradients()) return step_narrow(c, learning_rate);
  Update all{
      .w = parameters_.flat_values(), .grad = gradient, .copy = parameters_.spans().front().copies};
  if (sgd) all.grad_rest = rest;
  for (std::size_t i = 0; i < states_.size(); ++i) all.states[i] = states_[i].flat;
  update(c, learning_rate, all);
}

// Every gradient is looked at before the first weight changes; nothing waits for the host.
void Optimizer::step_narrow(Context& c, double learning_rate) {
  const Tensor scaling = parameters_.loss_scale();
  if (!scaling.empty()) {
    const Tensor flag(scaling.data<float>() + kFoundNonfinite, {1}, DType::f32, scaling.device());
    for (const ParameterSpan& span : parameters_.spans())
      find_nonfinite(c, {.x = span.gradients, .flag = flag});
  }
  for (const ParameterSpan& span : parameters_.spans()) {
    Update some{
        .w = span.values, .grad = span.gradients, .copy = span.copies, .loss_scale = scaling};
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const Tensor& flat = states_[i].flat;
      some.states[i] = Tensor(static_cast<std::byte*>(flat.raw()) + span.offset_bytes,
                              span.values.shape(), flat.dtype(), flat.device());
    }
    update(c, learning_rate, some);
  }
  if (!scaling.empty()) loss_scale_update(c, {.state = scaling});
}

}  // namespace kiln
