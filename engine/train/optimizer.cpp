#include "engine/train/optimizer.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/core/check.h"
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
      if (options.momentum == 0.0 && options.groups.empty()) return {};
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

// Neither below zero, nor infinite, nor not a number.
bool from_zero_on(double value) { return value >= 0.0 && std::isfinite(value); }

void check(const OptimizerOptions& o) {
  require(from_zero_on(o.momentum), "--momentum", "must be a number, zero or more");
  require(from_zero_on(o.weight_decay), "--weight-decay", "must be a number, zero or more");
  require(std::isfinite(o.dampening), "--dampening", "must be a number");
  require(!o.nesterov || (o.momentum > 0.0 && o.dampening == 0.0), "--nesterov",
          "needs a momentum above zero and no dampening");
  require(o.rho >= 0.0 && o.rho <= 1.0, "--rho", "must be 0 to 1");
  require(o.beta1 >= 0.0 && o.beta1 < 1.0, "--beta1", "must be 0 to 1, 1 excluded");
  require(o.beta2 >= 0.0 && o.beta2 < 1.0, "--beta2", "must be 0 to 1, 1 excluded");
  require(from_zero_on(o.epsilon), "--epsilon", "must be a number, zero or more");
  if (!o.groups.empty() && o.kind != OptimizerKind::sgd)
    throw Error(ErrorKind::usage, "--optimizer " + std::string(name_of(o.kind)),
                "does not go with --group, which needs sgd",
                "use --optimizer sgd, or --model in place of a --recipe that has groups");
  require(o.groups.size() <= static_cast<std::size_t>(kMostGroups), "--group",
          "may be given at most 8 times");
  for (const ParameterGroup& g : o.groups) {
    const std::string thing = "--group " + printable(g.match);
    require(!g.match.empty(), "--group", "lacks match=NAMES");
    require(g.learning_rate >= 0.0 && g.learning_rate <= 1e6, thing, "must have lr 0 to 1e6");
    require(g.momentum >= 0.0 && g.momentum < 1.0, thing, "must have momentum 0 to 1, 1 excluded");
    require(!g.nesterov || g.momentum > 0.0, thing, "needs a momentum above zero for nesterov");
    require(g.weight_decay >= 0.0, thing, "must have weight-decay zero or more");
    require(g.weight_decay == 0.0 || g.kind == ParameterGroup::Kind::sgd, thing,
            "has weight-decay, but muon sets the weights' norm itself");
    require(g.until_epochs >= 0.0 && g.until_epochs <= 1e6, thing,
            "must have until-epochs 0 to 1e6");
  }
}

// Whether `name` is `pattern`, in which * stands for any text.
bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern.front() == '*') {
    for (std::size_t at = 0; at <= name.size(); ++at)
      if (matches(pattern.substr(1), name.substr(at))) return true;
    return false;
  }
  return !name.empty() && pattern.front() == name.front() &&
         matches(pattern.substr(1), name.substr(1));
}

std::byte* shifted(const Tensor& flat, std::size_t bytes) {
  return static_cast<std::byte*>(flat.raw()) + bytes;
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
  if (name == "muon")
    throw Error(ErrorKind::usage, "--optimizer muon", "takes matrices alone, not every parameter",
                "name them: --group \"match=NAMES optimizer=muon lr=X\"");
  throw Error(ErrorKind::usage, "--optimizer " + printable(name), "is no known optimizer",
              "use sgd, adadelta, adam or adamw");
}

namespace {

[[noreturn]] void bad_group(std::string_view text, const std::string& wrong) {
  throw Error(ErrorKind::usage, "--group \"" + printable(text) + "\"", wrong,
              "such as \"match=*.bias optimizer=sgd lr=0.1 momentum=0.9\"");
}

double number_of(std::string_view text, std::string_view word, std::string_view value) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(number))
    bad_group(text, "has no number in " + printable(word));
  return number;
}

void set_word(ParameterGroup& group, std::string_view text, std::string_view word) {
  const std::size_t sign = word.find('=');
  const std::string_view key = word.substr(0, sign);
  if (sign == word.npos) bad_group(text, "has no = in " + printable(word));
  const std::string_view value = word.substr(sign + 1);
  const auto chosen = [&](std::string_view no, std::string_view yes) {
    if (value != no && value != yes)
      bad_group(text, "knows " + std::string(no) + " and " + std::string(yes) + ", not " +
                          printable(word));
    return value == yes;
  };
  if (key == "match")
    group.match = value;
  else if (key == "optimizer")
    group.kind = chosen("sgd", "muon") ? ParameterGroup::Kind::muon : ParameterGroup::Kind::sgd;
  else if (key == "nesterov")
    group.nesterov = chosen("false", "true");
  else if (key == "lr")
    group.learning_rate = number_of(text, word, value);
  else if (key == "momentum")
    group.momentum = number_of(text, word, value);
  else if (key == "weight-decay")
    group.weight_decay = number_of(text, word, value);
  else if (key == "until-epochs")
    group.until_epochs = number_of(text, word, value);
  else
    bad_group(text, "has the unknown word " + printable(word));
}

}  // namespace

ParameterGroup parse_group(std::string_view text) {
  ParameterGroup group;
  std::vector<std::string_view> keys;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    set_word(group, text, word);
    const std::string_view key = word.substr(0, word.find('='));
    if (std::ranges::find(keys, key) != keys.end())
      bad_group(text, "has " + std::string(key) + " twice");
    keys.push_back(key);
  }
  if (group.match.empty() || std::ranges::find(keys, "lr") == keys.end())
    bad_group(text, "lacks match=NAMES or lr=NUMBER");
  return group;
}

std::string to_text(const ParameterGroup& g) {
  // The shortest text that is this number.
  const auto number = [](double value) {
    char text[32];
    return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
  };
  return "match=" + g.match +
         " optimizer=" + (g.kind == ParameterGroup::Kind::muon ? "muon" : "sgd") +
         " lr=" + number(g.learning_rate) + " momentum=" + number(g.momentum) +
         " nesterov=" + (g.nesterov ? "true" : "false") +
         " weight-decay=" + number(g.weight_decay) + " until-epochs=" + number(g.until_epochs);
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
  if (!options.groups.empty()) find_members();
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

void Optimizer::step(Context& c, double learning_rate, const Tensor& rest,
                     std::span<const GroupStep> groups) {
  const Tensor gradient = parameters_.flat_gradients();
  const bool sgd = options_.kind == OptimizerKind::sgd && options_.groups.empty();
  ++step_count_;
  if (!rest.empty() && !sgd) accumulate(c, {.x = rest, .y = gradient});
  if (!options_.groups.empty()) return step_groups(c, learning_rate, groups);
  if (parameters_.narrow_gradients()) return step_narrow(c, learning_rate);
  Update all{
      .w = parameters_.flat_values(), .grad = gradient, .copy = parameters_.spans().front().copies};
  if (sgd) all.grad_rest = rest;
  for (std::size_t i = 0; i < states_.size(); ++i) all.states[i] = states_[i].flat;
  update(c, learning_rate, all);
}

// Every gradient is looked at before the first weight changes; nothing waits for the host.
void Optimizer::look_for_nonfinite(Context& c) const {
  const Tensor scaling = parameters_.loss_scale();
  if (scaling.empty()) return;
  const Tensor flag(scaling.data<float>() + kFoundNonfinite, {1}, DType::f32, scaling.device());
  for (const ParameterSpan& span : parameters_.spans())
    find_nonfinite(c, {.x = span.gradients, .flag = flag});
}

void Optimizer::step_narrow(Context& c, double learning_rate) {
  const Tensor scaling = parameters_.loss_scale();
  look_for_nonfinite(c);
  for (const ParameterSpan& span : parameters_.spans()) {
    Update some{
        .w = span.values, .grad = span.gradients, .copy = span.copies, .loss_scale = scaling};
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const Tensor& flat = states_[i].flat;
      some.states[i] = Tensor(shifted(flat, span.offset_bytes), span.values.shape(), flat.dtype(),
                              flat.device());
    }
    update(c, learning_rate, some);
  }
  if (!scaling.empty()) loss_scale_update(c, {.state = scaling});
}

int Optimizer::group_of(const Parameter& parameter) const {
  const auto found = std::ranges::find_if(options_.groups, [&](const ParameterGroup& group) {
    return matches(group.match, parameter.name);
  });
  return found == options_.groups.end() ? kBaseRate
                                        : static_cast<int>(found - options_.groups.begin());
}

void Optimizer::find_members() {
  for (const Parameter& p : parameters_.all())
    if (p.trainable()) add_member(p, group_of(p));
  std::vector<Shape> shapes;
  for (std::size_t g = 0; g < options_.groups.size(); ++g) {
    if (group_names_[g].empty())
      throw Error(ErrorKind::usage, "--group " + printable(options_.groups[g].match),
                  "matches no parameter that is left to it",
                  "kiln inspect shows the names of the layers");
    for (const MuonMatrix& m : matrices_[g]) shapes.push_back(m.w.shape());
  }
  const Tensor values = parameters_.flat_values();
  if (!shapes.empty())
    scratch_ = planned_buffer("muon's working memory", values.device(),
                              muon_step_scratch_bytes(shapes, values.dtype()));
}

void Optimizer::add_member(const Parameter& p, int group) {
  const Tensor values = parameters_.flat_values();
  const auto begin = static_cast<std::size_t>(static_cast<std::byte*>(p.value.raw()) -
                                              static_cast<std::byte*>(values.raw()));
  const auto state = [&](const Shape& shape) {
    return Tensor(shifted(states_.front().flat, begin), shape, values.dtype(), values.device());
  };
  const bool copied = p.working.raw() != p.value.raw();
  if (group != kBaseRate) group_names_[group].push_back(p.name);
  if (group != kBaseRate &&
      options_.groups[static_cast<std::size_t>(group)].kind == ParameterGroup::Kind::muon) {
    if (p.shape.rank() < 2)
      throw Error(ErrorKind::usage, "--group with muon",
                  "matches " + printable(p.name) + ", which is no matrix", "match other names");
    matrices_[group].push_back({.w = p.value,
                                .grad = p.gradient,
                                .momentum_buffer = state(p.shape),
                                .copy = copied ? p.working : Tensor{}});
    return;
  }
  members_.push_back({.group = group,
                      .w = p.value,
                      .grad = p.gradient,
                      .copy = copied ? p.working : Tensor{},
                      .momentum_buffer = state(p.shape)});
}

std::vector<std::string> Optimizer::paused(std::span<const GroupStep> groups) const {
  std::vector<std::string> names;
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (!groups[g].active)
      names.insert(names.end(), group_names_[g].begin(), group_names_[g].end());
  return names;
}

// Each group for itself: one call for muon's matrices, one for each parameter of sgd.
void Optimizer::step_groups(Context& c, double learning_rate, std::span<const GroupStep> groups) {
  KILN_CHECK(groups.size() == options_.groups.size());
  const Tensor scaling = parameters_.loss_scale();
  look_for_nonfinite(c);
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (groups[g].active && !matrices_[g].empty())
      muon_step(c, {.matrices = matrices_[g],
                    .loss_scale = scaling,
                    .lr = groups[g].learning_rate,
                    .momentum = options_.groups[g].momentum,
                    .nesterov = options_.groups[g].nesterov,
                    .state = c.step_state,
                    .rate = static_cast<int>(g),
                    .scratch = scratch_.data()});
  for (const Member& member : members_) {
    SgdStepArgs args{.w = member.w,
                     .grad = member.grad,
                     .momentum_buffer = member.momentum_buffer,
                     .copy = member.copy,
                     .loss_scale = scaling,
                     .lr = learning_rate,
                     .momentum = options_.momentum,
                     .dampening = options_.dampening,
                     .weight_decay = options_.weight_decay,
                     .nesterov = options_.nesterov,
                     .first_step = step_count_ == 1,
                     .state = c.step_state,
                     .rate = member.group};
    if (member.group != kBaseRate) {
      const auto g = static_cast<std::size_t>(member.group);
      if (!groups[g].active) continue;
      const ParameterGroup& group = options_.groups[g];
      args.lr = groups[g].learning_rate;
      args.momentum = group.momentum;
      args.dampening = 0;
      args.weight_decay = group.weight_decay;
      args.nesterov = group.nesterov;
    }
    sgd_step(c, args);
  }
  if (!scaling.empty()) loss_scale_update(c, {.state = scaling});
}

}  // namespace kiln
