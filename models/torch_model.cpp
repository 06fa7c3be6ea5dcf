#include "models/torch_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <set>

#include "engine/core/error.h"
#include "models/parameter_layout.h"
#include "models/zoo.h"

namespace kiln {
namespace {

constexpr std::int64_t kMostClasses = 65'536;
constexpr std::array<std::string_view, 10> kWorkshopClasses = {
    "plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

[[noreturn]] void fail(const TorchFile& file, std::string_view wrong, std::string_view mend) {
  throw Error(ErrorKind::input, printable(file.path().string(), 4096), wrong, mend);
}

std::string kiln_name(std::string_view torchvision) {
  constexpr std::string_view kTheirs = ".downsample.", kOurs = ".shortcut.";
  if (torchvision.starts_with("fc.")) return "linear." + std::string(torchvision.substr(3));
  std::string name(torchvision);
  if (const std::size_t at = name.find(kTheirs); at != name.npos && name.starts_with("layer"))
    name.replace(at, kTheirs.size(), kOurs);
  return name;
}

void take_torchvision_names(TorchFile& file) {
  if (file.find("layer1.0.conv1.weight") == nullptr || file.find("linear.weight") != nullptr)
    return;
  for (TorchTensor& tensor : file.tensors()) tensor.name = kiln_name(tensor.name);
}

// Of the last layer with weights; 0 where the file has none of that name.
std::int64_t class_count_in(const TorchFile& file, const std::vector<ParameterLayout>& layouts) {
  const auto last = std::ranges::find(layouts.rbegin(), layouts.rend(), ParameterRole::weight,
                                      &ParameterLayout::role);
  const TorchTensor* weight = file.find(last->name);
  if (weight == nullptr || weight->shape.rank() != 2 || weight->shape[0] < 1 ||
      weight->shape[0] > kMostClasses)
    return 0;
  return weight->shape[0];
}

// How near the tensors of a file come to a network.
struct Likeness {
  ModelSpec spec;
  std::size_t fitting = 0, needed = 0;
  std::string difference;  // the first one; empty where it is that network
};

std::set<std::string> names_of(const std::vector<ParameterLayout>& layouts) {
  std::set<std::string> names;
  for (const ParameterLayout& layout : layouts) {
    names.insert(layout.name);
    if (layout.role == ParameterRole::running_mean) names.insert(tracked_name(layout));
  }
  return names;
}

Likeness likeness(const TorchFile& file, const std::string& model) {
  Likeness like{.spec = find_model(model, 10)};
  if (const std::int64_t classes = class_count_in(file, parameter_layouts(like.spec)))
    like.spec = find_model(model, classes);
  const std::vector<ParameterLayout> layouts = parameter_layouts(like.spec);
  like.needed = layouts.size();
  const auto differ = [&](std::string text) {
    if (like.difference.empty()) like.difference = std::move(text);
  };
  for (const ParameterLayout& layout : layouts) {
    const TorchTensor* tensor = file.find(layout.name);
    if (tensor == nullptr)
      differ("it lacks " + layout.name);
    else if (tensor->shape != layout.file_shape)
      differ(layout.name + " is " + to_string(tensor->shape) + ", not " +
             to_string(layout.file_shape));
    else
      ++like.fitting;
  }
  const std::set<std::string> known = names_of(layouts);
  for (const TorchTensor& tensor : file.tensors())
    if (!known.contains(tensor.name)) differ("it also has " + printable(tensor.name));
  return like;
}

std::vector<std::byte> bytes_of(const auto& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

std::vector<float> weights_in(const TorchFile& file, const ParameterLayout& layout) {
  constexpr std::string_view kMend = "name the network that wrote it with --model";
  const TorchTensor* tensor = file.find(layout.name);
  const std::string called = "tensor \"" + printable(layout.name) + "\" ";
  if (tensor == nullptr) fail(file, called + "is missing", kMend);
  if (tensor->shape != layout.file_shape)
    fail(file,
         called + "is " + to_string(tensor->shape) + "; the model needs " +
             to_string(layout.file_shape),
         kMend);
  if (!is_floating(tensor->type))
    fail(file, called + "is " + std::string(name_of(tensor->type)) + "; weights are f32", kMend);
  return file.floats(*tensor);
}

}  // namespace

ModelSpec recognise_network(TorchFile& file) {
  take_torchvision_names(file);
  Likeness best;
  for (const std::string& model : model_names()) {
    Likeness like = likeness(file, model);
    if (like.difference.empty()) return like.spec;
    if (like.fitting * best.needed >= best.fitting * like.needed) best = std::move(like);
  }
  const bool near = 2 * best.fitting >= best.needed;
  fail(file,
       near ? "is nearly " + best.spec.name + ", but " + best.difference
            : "holds " + std::to_string(file.tensors().size()) + " tensors, such as " +
                  printable(file.tensors().front().name) + ", of no network that kiln knows",
       "convert it with kiln convert --model SPEC.json, the description of its network");
}

ModelSpec named_network(TorchFile& file, const std::string& model) {
  const std::vector<std::string> names = model_names();
  if (std::ranges::find(names, model) == names.end()) return find_model(model, 0);
  take_torchvision_names(file);
  return likeness(file, model).spec;
}

SafetensorsFile torch_weights(const TorchFile& file, const ModelSpec& spec) {
  const std::vector<ParameterLayout> layouts = parameter_layouts(spec);
  const std::set<std::string> known = names_of(layouts);
  for (const TorchTensor& tensor : file.tensors())
    if (!known.contains(tensor.name))
      fail(file, "holds " + printable(tensor.name) + ", which the network does not have",
           "name the network that wrote it with --model");
  SafetensorsFile::Owned owned;
  for (const ParameterLayout& layout : layouts) {
    owned.push_back(
        {layout.name, DType::f32, layout.file_shape, bytes_of(weights_in(file, layout))});
    if (layout.role != ParameterRole::running_mean) continue;
    const TorchTensor* tracked = file.find(tracked_name(layout));
    if (tracked != nullptr && !is_floating(tracked->type) && tracked->shape.element_count() == 1)
      owned.push_back({tracked->name, DType::i64, Shape{}, bytes_of(file.integers(*tracked))});
  }
  return SafetensorsFile(file.path(), std::move(owned));
}

ModelCard torch_card(const ModelSpec& spec, const Path& file) {
  ModelCard card{.name = spec.name,
                 .input_height = spec.height,
                 .input_width = spec.width,
                 .input_channels = spec.channels,
                 .data_name = "not known",
                 .data_origin = "PyTorch's file " + printable(file.filename().string())};
  for (std::int64_t i = 0; i < spec.class_count; ++i) card.classes.push_back(std::to_string(i));
  if (spec.name == "lenet" && spec.class_count == 10)
    card.classes.assign(kWorkshopClasses.begin(), kWorkshopClasses.end());
  if (spec.name == "mnist") {
    card.normalisation = NormalisationMode::per_image;
    return card;
  }
  card.mean.assign(static_cast<std::size_t>(spec.channels), 0.5);
  card.std = card.mean;
  return card;
}

std::vector<Path> torch_files_in(const Path& directory) {
  std::vector<Path> files;
  std::error_code not_there;
  if (!std::filesystem::is_directory(directory, not_there)) return files;
  for (const std::string& name : names_in(directory))
    if ((name.ends_with(".pth") || name.ends_with(".pt")) &&
        std::filesystem::is_regular_file(directory / name, not_there))
      files.push_back(directory / name);
  return files;
}

std::optional<Path> find_torch_file(const Path& directory) {
  const std::vector<Path> files = torch_files_in(directory);
  if (files.size() > 1)
    throw Error(ErrorKind::input, printable(directory.string(), 4096),
                "holds several models: " + printable(files[0].filename().string()) + " and " +
                    printable(files[1].filename().string()),
                "leave one .pth file there, or convert one with kiln convert");
  if (files.empty()) return std::nullopt;
  return files.front();
}

}  // namespace kiln
