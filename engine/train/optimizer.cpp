#include "engine/train/optimizer.h"

#include "engine/core/error.h"
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
  if (parameters.mixed() && options.kind != OptimizerKind::sgd)
    throw Error(ErrorKind::unsupported, "--optimizer " + std::string(name_of(options.kind)),
                "does not work with 16-bit gradients", "use sgd, or --math fp32");
  const Tensor values = parameters.flat_values();
  for (std::string& name : state_names(options)) {
    buffers_.emplace_back(values.device(), values.size_bytes());
    states_.push_back({std::move(name), Tensor(buffers_.back().data(), values.shape(),
                                               values.dtype(), values.device())});
  }
}

void Optimizer::step(Context& c, double learning_rate, const Tensor& rest) {
  const OptimizerOptions& o = options_;
  const Tensor w = parameters_.flat_values(), gradient = parameters_.flat_gradients();
  ++step_count_;
  if (!rest.empty() && o.kind != OptimizerKind::sgd) accumulate(c, {.x = rest, .y = gradient});
  if (parameters_.mixed()) return step_mixed(c, learning_rate);
  switch (o.kind) {
    case OptimizerKind::sgd:
      sgd_step(c, {.w = w,
                   .grad = gradient,
                   .grad_rest = rest,
                   .momentum_buffer = states_.empty() ? Tensor{} : states_[0].flat,
                   .lr = learning_rate,
                   .momentum = o.momentum,
                   .dampening = o.dampening,
                   .weight_decay = o.weight_decay,
                   .nesterov = o.nesterov,
                   .first_step = step_count_ == 1,
                   .state = c.step_state});
      break;
    case OptimizerKind::adadelta:
      adadelta_step(c, {.w = w,
                        .grad = gradient,
                        .square_avg = states_[0].flat,
                        .acc_delta = states_[1].flat,
                        .lr = learning_rate,
                        .rho = o.rho,
                        .eps = o.epsilon,
                        .weight_decay = o.weight_decay,
                        .state = c.step_state});
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
                    .step = step_count_,
                    .state = c.step_state});
      break;
  }
}

// Every gradient is looked at before the first weight changes; nothing waits for the host.
void Optimizer::step_mixed(Context& c, double learning_rate) {
  const Tensor scaling = parameters_.loss_scale();
  if (!scaling.empty()) {
    const Tensor flag(scaling.data<float>() + kFoundNonfinite, {1}, DType::f32, scaling.device());
    for (const ParameterSpan& span : parameters_.spans())
      find_nonfinite(c, {.x = span.gradients, .flag = flag});
  }
  for (const ParameterSpan& span : parameters_.spans()) {
    Tensor buffer;
    if (!states_.empty()) {
      const Tensor& flat = states_[0].flat;
      buffer = Tensor(static_cast<std::byte*>(flat.raw()) + span.offset_bytes, span.values.shape(),
                      flat.dtype(), flat.device());
    }
    sgd_step(c, {.w = span.values,
                 .grad = span.gradients,
                 .momentum_buffer = buffer,
                 .copy = span.copies,
                 .loss_scale = scaling,
                 .lr = learning_rate,
                 .momentum = options_.momentum,
                 .dampening = options_.dampening,
                 .weight_decay = options_.weight_decay,
                 .nesterov = options_.nesterov,
                 .first_step = step_count_ == 1,
                 .state = c.step_state});
  }
  if (!scaling.empty()) loss_scale_update(c, {.state = scaling});
}

}  // namespace kiln
