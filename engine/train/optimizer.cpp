#include "engine/train/optimizer.h"

#include "engine/core/error.h"
#include "kernels/include/adadelta_step.h"
#include "kernels/include/adam_step.h"
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
    buffers_.emplace_back(values.device(), values.size_bytes());
    states_.push_back({std::move(name), Tensor(buffers_.back().data(), values.shape(),
                                               values.dtype(), values.device())});
  }
}

void Optimizer::step(Context& c, double learning_rate) {
  const OptimizerOptions& o = options_;
  const Tensor w = parameters_.flat_values(), gradient = parameters_.flat_gradients();
  ++step_count_;
  switch (o.kind) {
    case OptimizerKind::sgd:
      sgd_step(c, {.w = w,
                   .grad = gradient,
                   .momentum_buffer = states_.empty() ? Tensor{} : states_[0].flat,
                   .lr = learning_rate,
                   .momentum = o.momentum,
                   .dampening = o.dampening,
                   .weight_decay = o.weight_decay,
                   .nesterov = o.nesterov,
                   .first_step = step_count_ == 1});
      break;
    case OptimizerKind::adadelta:
      adadelta_step(c, {.w = w,
                        .grad = gradient,
                        .square_avg = states_[0].flat,
                        .acc_delta = states_[1].flat,
                        .lr = learning_rate,
                        .rho = o.rho,
                        .eps = o.epsilon,
                        .weight_decay = o.weight_decay});
      break;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      adam_step(c, {.w = w,
                    .grad = gradient,
                    .exp_avg = states_[0].flat,
                    .exp_avg_sq = states_[1].flat,
                    .lr = learning_rate,
                    .beta1 = o.beta1,
                    .beta2 = o.beta2,
                    .eps = o.epsilon,
                    .weight_decay = o.weight_decay,
                    .decoupled = o.kind == OptimizerKind::adamw,
                    .step = step_count_});
      break;
  }
}

}  // namespace kiln
