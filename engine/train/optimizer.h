// Optimizer: one update of all trainable parameters over the flat buffers.
//
// The formulas are PyTorch's (torch.optim.SGD, Adadelta, Adam, AdamW), with the same meaning of
// every option; docs/math.md writes them out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "engine/train/parameters.h"
#include "kernels/include/muon_step.h"

namespace kiln {

enum class OptimizerKind { sgd, adadelta, adam, adamw };

std::string_view name_of(OptimizerKind kind);
// Throws Error (usage) for a name that is not sgd, adadelta, adam or adamw.
OptimizerKind parse_optimizer(std::string_view name);

// Parameters that are updated in a way of their own. A group's rate follows the run's schedule from
// its own base; with `until_epochs` a linear schedule ends there, and from then on nobody touches
// the group's parameters, nor computes gradients in layers that have nothing else to train.
struct ParameterGroup {
  enum class Kind { sgd, muon };
  std::string match;  // names of parameters, with * for any text: "layers.*.conv*.weight"
  Kind kind = Kind::sgd;
  double learning_rate = 0.001;
  double momentum = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  // sgd
  double until_epochs = 0.0;  // 0: to the end

  bool operator==(const ParameterGroup&) const = default;
};

// "match=layers.*.conv*.weight optimizer=muon lr=0.24 momentum=0.6 nesterov=true": words in any
// order; match and lr must be there. Throws Error (usage) naming the word that is wrong.
ParameterGroup parse_group(std::string_view text);
std::string to_text(const ParameterGroup& group);

// What a group does in one step.
struct GroupStep {
  double learning_rate = 0.0;
  bool active = true;
};

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
  // A parameter belongs to the first group that matches its name; what matches none is updated as
  // said above. With sgd alone; at most kMostGroups.
  std::vector<ParameterGroup> groups;
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
  // refuses, and for groups that match nothing or cannot be what they are.
  Optimizer(const OptimizerOptions& options, const ParameterStore& parameters);

  // In f16 a step whose gradients are not all finite changes no weight and halves the loss scale;
  // the device decides that by itself, and step_count() counts such steps too, also where Adam
  // corrects its averages for their start at 0.
  // Where the context has a step_state, rate and number of the step are those in it.
  // `groups`: one for each of the options' groups.
  void step(Context& c, double learning_rate, const Tensor& rest = {},
            std::span<const GroupStep> groups = {});

  // Names of the parameters of groups that do nothing.
  std::vector<std::string> paused(std::span<const GroupStep> groups) const;

  const OptimizerOptions& options() const { return options_; }
  const std::vector<State>& states() const { return states_; }
  // Steps taken; a checkpoint restores it together with the states.
  std::int64_t step_count() const { return step_count_; }
  void set_step_count(std::int64_t count) { step_count_ = count; }

 private:
  // A parameter that sgd updates.
  struct Member {
    int group = kBaseRate;  // of none
    Tensor w, grad, copy, momentum_buffer;
  };
  struct Update {
    Tensor w, grad, grad_rest = {}, copy = {}, loss_scale = {};
    Tensor states[2] = {};
  };
  void update(Context& c, double learning_rate, const Update& u) const;
  void step_narrow(Context& c, double learning_rate);
  void step_groups(Context& c, double learning_rate, std::span<const GroupStep> groups);
  void find_members();
  void add_member(const Parameter& parameter, int group);
  int group_of(const Parameter& parameter) const;
  void look_for_nonfinite(Context& c) const;

  OptimizerOptions options_;
  const ParameterStore& parameters_;
  std::vector<Buffer> buffers_;
  std::vector<State> states_;
  std::int64_t step_count_ = 0;
  std::vector<Member> members_;
  std::vector<std::string> group_names_[kMostGroups];
  std::vector<MuonMatrix> matrices_[kMostGroups];
  Buffer scratch_;  // of muon
};

}  // namespace kiln
