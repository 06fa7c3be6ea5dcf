#include "engine/train/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/train/finite.h"
#include "engine/train/mixed_precision.h"
#include "engine/train/model_io.h"
#include "models/file_digest.h"

namespace kiln {
namespace {

constexpr std::string_view kFormat = "kiln-checkpoint";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kStatePrefix = "optimizer.";
constexpr std::string_view kAveragePrefix = "lookahead.";
constexpr std::string_view kSettingPrefix = "setting:";
constexpr std::string_view kOptionPrefix = "option:";

// Settings that checkpoints of earlier builds do not name, with what those did.
constexpr std::pair<std::string_view, std::string_view> kLaterSettings[] = {{"accumulate", "1"},
                                                                            {"sync-bn", "false"},
                                                                            {"group", ""},
                                                                            {"drop-last", "false"},
                                                                            {"lookahead", "0"}};

// Doubles travel as hexadecimal text, which is exact.
std::string exact(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

// One list of the position's fields, for writing and for reading.
template <class Position, class Visit>
void visit_fields(Position& p, const Visit& visit) {
  visit("epoch", p.epoch);
  visit("epoch_step", p.epoch_step);
  visit("step", p.step);
  visit("epoch_loss_sum", p.epoch_loss_sum);
  visit("epoch_hit_count", p.epoch_hit_count);
  visit("epoch_image_count", p.epoch_image_count);
  visit("epoch_seconds", p.epoch_seconds);
  visit("interval_loss_sum", p.interval_loss_sum);
  visit("interval_step_count", p.interval_step_count);
}

template <class Scaling, class Visit>
void visit_scaling(Scaling&& s, const Visit& visit) {
  visit("loss_scale", s.scale);
  visit("loss_scale_good_steps", s.good_steps);
  visit("loss_scale_skipped_steps", s.skipped_steps);
}

std::string text_of(double value) { return exact(value); }
std::string text_of(std::int64_t value) { return std::to_string(value); }

bool parse(const std::string& text, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return !text.empty() && end == text.c_str() + text.size() && std::isfinite(value) && value >= 0;
}
bool parse(const std::string& text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 &&
         value <= kMostCounted;
}

// The state of one parameter: the same bytes of the flat buffer as the parameter's value has.
Tensor state_of(const Optimizer::State& state, const Parameter& parameter,
                const ParameterStore& parameters) {
  const auto offset = static_cast<std::byte*>(parameter.value.raw()) -
                      static_cast<std::byte*>(parameters.flat_values().raw());
  return {static_cast<std::byte*>(state.flat.raw()) + offset, parameter.shape, state.flat.dtype(),
          state.flat.device()};
}

std::string state_name(const Optimizer::State& state, const Parameter& parameter) {
  return std::string(kStatePrefix) + state.name + "." + parameter.name;
}

const std::string& metadata_at(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    throw Error(ErrorKind::input, file.path().string(), "lacks \"" + std::string(key) + "\"",
                "name a checkpoint that kiln train wrote");
  return found->second;
}

constexpr const char* kBeginAnew = "remove it to begin anew";

// What it says is what was written; a file of an earlier build has no checksum to tell.
SafetensorsFile open_checkpoint(const Path& path) {
  SafetensorsFile file = [&] {
    try {
      return SafetensorsFile(path);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::input) throw;
      const std::string line = error.what();  // begins with the path
      throw Error(ErrorKind::input, path.string(), line.substr(path.native().size() + 2),
                  kBeginAnew);
    }
  }();
  if (metadata_at(file, "format") != kFormat || metadata_at(file, "version") != kVersion)
    throw Error(ErrorKind::input, path.string(), "is no kiln checkpoint of version 1",
                "name a checkpoint that this version wrote");
  const auto sum = file.metadata().find(kChecksumKey);
  if (sum != file.metadata().end() && sum->second != checksum_of(file.entries(), file.metadata()))
    throw Error(ErrorKind::input, path.string(),
                "is damaged: it does not hold what was written to it", kBeginAnew);
  return file;
}

void check_settings(const SafetensorsFile& file, const TrainSettings& settings) {
  for (const auto& [name, value] : settings) {
    const std::string key = std::string(kSettingPrefix) + name;
    const auto* later =
        std::ranges::find(kLaterSettings, name, [](const auto& s) { return s.first; });
    const bool named = later == std::end(kLaterSettings) || file.metadata().contains(key);
    const std::string saved = named ? metadata_at(file, key) : std::string(later->second);
    if (saved != value)
      throw Error(
          ErrorKind::input, file.path().string(),
          "was written with --" + name + " " + printable(saved) + ", not " + printable(value),
          "resume with the same setting, or start anew without --resume");
  }
}

// Read by kiln convert, under PyTorch's names.
void add_options(const OptimizerOptions& options, const LastStep& last,
                 SafetensorsMetadata& metadata) {
  const auto put = [&](const char* name, double value) {
    if (std::isfinite(value)) metadata.emplace(std::string(kOptionPrefix) + name, exact(value));
  };
  metadata.emplace("optimizer", name_of(options.kind));
  if (!options.groups.empty()) metadata.emplace("groups", std::to_string(options.groups.size()));
  put("lr", last.learning_rate);
  put("momentum", options.momentum);
  put("dampening", options.dampening);
  put("nesterov", options.nesterov ? 1.0 : 0.0);
  put("weight_decay", options.weight_decay);
  put("rho", options.rho);
  put("beta1", options.beta1);
  put("beta2", options.beta2);
  put("eps", options.epsilon);
  if (std::isfinite(last.loss)) metadata.emplace("last_loss", exact(last.loss));
}

}  // namespace

void save_checkpoint(const Path& path, const ParameterStore& parameters, const Optimizer& optimizer,
                     const TrainPosition& position, const TrainSettings& settings,
                     const LastStep& last, const Lookahead* lookahead) {
  if (!all_finite(parameters.flat_values()))
    throw Error(ErrorKind::diverged, "step " + std::to_string(position.step),
                "left a weight that is not finite", "lower the learning rate");
  TensorBundle bundle;
  bundle.add_all(parameters);
  for (const Optimizer::State& state : optimizer.states())
    for (const Parameter& p : parameters.all())
      if (p.trainable())
        bundle.add_parameter(state_name(state, p), p, state_of(state, p, parameters));
  if (lookahead != nullptr)
    for (const Parameter& p : parameters.all())
      if (const Tensor average = lookahead->average(p); !average.empty())
        bundle.add_parameter(std::string(kAveragePrefix) + p.name, p, average);
  SafetensorsMetadata metadata{{"format", std::string(kFormat)},
                               {"version", std::string(kVersion)},
                               {"optimizer_steps", std::to_string(optimizer.step_count())}};
  visit_fields(position, [&](const char* name, const auto& value) {
    metadata.emplace(name, text_of(value));
  });
  add_options(optimizer.options(), last, metadata);
  if (!parameters.loss_scale().empty())
    visit_scaling(loss_scaling(parameters), [&](const char* name, const auto& value) {
      metadata.emplace(name, text_of(value));
    });
  for (const auto& [name, value] : settings)
    metadata.emplace(std::string(kSettingPrefix) + name, value);
  metadata.emplace(kChecksumKey, checksum_of(bundle.entries(), metadata));
  write_safetensors(path, bundle.entries(), metadata);
}

TrainPosition load_checkpoint(const Path& path, ParameterStore& parameters, Optimizer& optimizer,
                              const TrainSettings& settings, const Lookahead* lookahead) {
  const SafetensorsFile file = open_checkpoint(path);
  check_settings(file, settings);
  TrainPosition position;
  const auto read = [&](const char* name, auto& value) {
    if (!parse(metadata_at(file, name), value))
      throw Error(ErrorKind::input, path.string(), "has a bad \"" + std::string(name) + "\"");
  };
  visit_fields(position, read);
  std::int64_t optimizer_steps = 0;
  read("optimizer_steps", optimizer_steps);
  if (position.epoch_hit_count > position.epoch_image_count || position.epoch > UINT32_MAX)
    throw Error(ErrorKind::input, path.string(), "stands at a place that no run comes to");
  read_parameters(file, parameters, {{kStatePrefix, kAveragePrefix}});
  const auto read_tensor = [&](const std::string& name, const Parameter& p, const Tensor& to) {
    const SafetensorsEntry& entry = file.at(name, parameters.dtype(), p.file_shape);
    to_memory_order(p, Tensor(const_cast<std::byte*>(entry.bytes.data()), p.shape, entry.dtype),
                    to);
  };
  for (const Parameter& p : parameters.all()) {
    for (const Optimizer::State& state : optimizer.states())
      if (p.trainable()) read_tensor(state_name(state, p), p, state_of(state, p, parameters));
    const Tensor average = lookahead == nullptr ? Tensor{} : lookahead->average(p);
    if (!average.empty()) read_tensor(std::string(kAveragePrefix) + p.name, p, average);
  }
  optimizer.set_step_count(optimizer_steps);
  if (!parameters.loss_scale().empty()) {
    LossScaling scaling;
    visit_scaling(scaling, read);
    set_loss_scaling(parameters, scaling);
  }
  return position;
}

}  // namespace kiln
