#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "apps/convert/convert.h"
#include "engine/core/error.h"
#include "models/model_directory.h"
#include "models/parameter_layout.h"
#include "models/torch_writer.h"
#include "models/zoo.h"

namespace kiln {
namespace {

constexpr std::string_view kCheckpointFormat = "kiln-checkpoint";

// In PyTorch's order: the layers', and the count of batches behind the running statistics.
std::vector<SafetensorsEntry> weights_of(const SafetensorsFile& file, const ModelSpec& spec) {
  std::vector<SafetensorsEntry> entries;
  std::string tracked;
  for (const ParameterLayout& layout : parameter_layouts(spec)) {
    entries.push_back(file.at(layout.name, DType::f32, layout.file_shape));
    if (layout.role == ParameterRole::running_mean) tracked = tracked_name(layout);
    if (layout.role != ParameterRole::running_variance) continue;
    if (const SafetensorsEntry* count = file.find(tracked))
      entries.push_back(file.at(count->name, DType::i64, Shape{}));
  }
  return entries;
}

const std::string* find_text(const SafetensorsFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? nullptr : &found->second;
}

// Numbers are written as hexadecimal or decimal text; nothing where there is none.
std::optional<double> find_number(const SafetensorsFile& file, std::string_view key) {
  const std::string* text = find_text(file, key);
  if (text == nullptr) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text->c_str(), &end);
  if (text->empty() || end != text->c_str() + text->size() || !std::isfinite(value))
    throw Error(ErrorKind::input, file.path().string(), "has a bad \"" + std::string(key) + "\"");
  return value;
}

double number(const SafetensorsFile& file, const std::string& key) {
  if (const auto value = find_number(file, key)) return *value;
  throw Error(ErrorKind::input, file.path().string(), "does not say \"" + key + "\"",
              "an older kiln wrote it; use --weights-only");
}

// The group of torch.optim's class, as its state_dict() has it.
std::vector<std::pair<std::string, TorchTraining::Setting>> settings_of(
    const SafetensorsFile& file, const std::string& optimizer) {
  if (find_text(file, "groups") != nullptr)
    throw Error(ErrorKind::unsupported, file.path().string(),
                "was trained with --group, for which torch.optim has no class",
                "use --weights-only");
  const auto option = [&](const char* name) { return number(file, std::string("option:") + name); };
  std::vector<std::pair<std::string, TorchTraining::Setting>> group{{"lr", option("lr")}};
  if (optimizer == "sgd") {
    group.insert(group.end(), {{"momentum", option("momentum")},
                               {"dampening", option("dampening")},
                               {"weight_decay", option("weight_decay")},
                               {"nesterov", option("nesterov") != 0.0}});
  } else if (optimizer == "adadelta") {
    group.insert(
        group.end(),
        {{"rho", option("rho")}, {"eps", option("eps")}, {"weight_decay", option("weight_decay")}});
  } else {
    group.insert(group.end(), {{"betas", std::pair(option("beta1"), option("beta2"))},
                               {"eps", option("eps")},
                               {"weight_decay", option("weight_decay")},
                               {"amsgrad", false}});
  }
  group.insert(group.end(),
               {{"maximize", false}, {"foreach", std::monostate()}, {"differentiable", false}});
  if (optimizer != "sgd") group.emplace_back("capturable", false);
  return group;
}

std::vector<std::string> state_names(const std::string& optimizer) {
  if (optimizer == "sgd") return {"momentum_buffer"};
  if (optimizer == "adadelta") return {"square_avg", "acc_delta"};
  return {"exp_avg", "exp_avg_sq"};
}

// What the file has of each trainable parameter, under the names of torch.optim.
std::vector<std::vector<SafetensorsEntry>> states_of(const SafetensorsFile& file,
                                                     const ModelSpec& spec,
                                                     const std::string& optimizer,
                                                     const float& steps) {
  std::vector<std::vector<SafetensorsEntry>> states;
  for (const ParameterLayout& layout : parameter_layouts(spec)) {
    if (!layout.trainable()) continue;
    std::vector<SafetensorsEntry>& state = states.emplace_back();
    for (const std::string& name : state_names(optimizer)) {
      const std::string full = "optimizer." + name + "." + layout.name;
      if (optimizer == "sgd" && file.find(full) == nullptr) continue;  // trained without momentum
      state.push_back(file.at(full, DType::f32, layout.file_shape));
      state.back().name = name;
    }
    if (optimizer != "sgd")
      state.push_back({"step", DType::f32, Shape{}, std::as_bytes(std::span(&steps, 1))});
  }
  return states;
}

void write_checkpoint(const SafetensorsFile& file, const ModelSpec& spec, const ConvertOptions& o) {
  const std::string* optimizer = find_text(file, "optimizer");
  if (optimizer == nullptr) number(file, "optimizer");
  const auto steps = static_cast<float>(number(file, "optimizer_steps"));
  const double trained = number(file, "epoch_image_count");
  const double mean_loss = number(file, "epoch_loss_sum") / trained;  // NaN of no pictures
  auto state = states_of(file, spec, *optimizer, steps);
  if (steps == 0) std::ranges::for_each(state, [](auto& entries) { entries.clear(); });
  const TorchTraining training{
      .epoch = static_cast<std::int64_t>(number(file, "epoch")),
      .loss = static_cast<float>(find_number(file, "last_loss").value_or(mean_loss)),
      .settings = settings_of(file, *optimizer),
      .state = std::move(state)};
  write_torch_checkpoint(o.target, weights_of(file, spec), training,
                         o.module_prefix ? "module." : "");
}

// A folder says what it is; a file stands beside the card of its model, or --model says it.
ModelSpec spec_of(const ConvertOptions& o, const Path& directory) {
  if (!o.model.empty()) return find_model(o.model, o.class_count);
  return read_model_description(directory).spec;
}

}  // namespace

void convert_to_torch(const ConvertOptions& o) {
  std::error_code error;
  const Path source = o.source;
  const bool is_folder = std::filesystem::is_directory(source, error);
  const Path directory = is_folder                  ? source
                         : source.has_parent_path() ? source.parent_path()
                                                    : Path(".");
  if (std::filesystem::is_directory(o.target, error))
    throw Error(ErrorKind::usage, printable(o.target, 4096), "is a folder",
                "name the file to write, such as model.pth");
  const ModelSpec spec = spec_of(o, directory);
  const SafetensorsFile file = is_folder ? read_weights(source, spec) : SafetensorsFile(source);
  const std::string* format = find_text(file, "format");
  const bool checkpoint = !o.weights_only && format != nullptr && *format == kCheckpointFormat;
  const std::vector<SafetensorsEntry> weights = weights_of(file, spec);
  if (checkpoint)
    write_checkpoint(file, spec, o);
  else
    write_torch_weights(o.target, weights, o.module_prefix ? "module." : "");
  std::printf("wrote %s: %s, %zu tensors%s%s\n", printable(o.target, 4096).c_str(),
              printable(spec.name).c_str(), weights.size(),
              checkpoint ? " and the optimizer's state" : "",
              o.module_prefix ? ", names with \"module.\"" : "");
}

}  // namespace kiln
