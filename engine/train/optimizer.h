// Optimizer: one update of all trainable parameters over the flat buffers.
//
// The formulas are PyTorch's (torch.optim.SGD, Adadelta, Adam, AdamW), with the same meaning of
// every option; docs/math.md writes them out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "engine/train/parameters.h"

namespace kiln {

enum class OptimizerKind { sgd, adadelta, adam, adamw };

std::string_view name_of(OptimizerKind kind);
// Throws Error (usage) for a name that is not sgd, adadelta, adam or adamw.
OptimizerKind parse_optimizer(std::string_view name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0.9;  // sgd
  double dampening = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  // all kinds; decoupled in adamw
  double rho = 0.9;           // adadelta
  double beta1 = 0.9;         // adam, adamw
  double beta2 = 0.999;
  double epsilon = 1e-8;  // adadelta's usual value is 1e-6
};

class Optimizer {
 public:
  // A flat buffer of state, in the layout of ParameterStore::flat_values(); named as in PyTorch's
  // optimizer state: "momentum_buffer", "square_avg", "exp_avg" and so on.
  struct State {
    std::string name;
    Tensor flat;
  };

  // `parameters` must outlive the optimizer. Throws Error (usage) for options that PyTorch
  // refuses.
  Optimizer(const OptimizerOptions& options, const ParameterStore& parameters);

  // In f16 a step whose gradients are not all finite changes no weight and halves the loss scale;
  // the device decides that by itself, and step_count() counts such steps too, also where Adam
  // corrects its averages for their start at 0.
  // Where the context has a step_state, rate and number of the step are those in it.
  void step(Context& c, double learning_rate, const Tensor& rest = {});

  const OptimizerOptions& options() const { return options_; }
  const std::vector<State>& states() const { return states_; }
  // Steps taken; a checkpoint restores it together with the states.
  std::int64_t step_count() const { return step_count_; }
  void set_step_count(std::int64_t count) { step_count_ = count; }

 private:
  struct Update {
    Tensor w, grad, grad_rest = {}, copy = {}, loss_scale = {};
    Tensor states[2] = {};
  };
  void update(Context& c, double learning_rate, const Update& u) const;
  void step_narrow(Context& c, double learning_rate);

  OptimizerOptions options_;
  const ParameterStore& parameters_;
  std::vector<Buffer> buffers_;
  std::vector<State> states_;
  std::int64_t step_count_ = 0;
};

}  // namespace kiln
