#include "models/model_directory.h"

#include <filesystem>

#include "engine/core/error.h"
#include "models/torch_model.h"

namespace kiln {
namespace {

ModelDescription describe_torch(const Path& path) {
  TorchFile file(path);
  ModelSpec spec = recognise_network(file);
  return {torch_card(spec, path), std::move(spec)};
}

}  // namespace

bool is_torch_directory(const Path& directory) {
  return !std::filesystem::exists(directory / kCardFile) &&
         !std::filesystem::exists(directory / kWeightsFile) &&
         find_torch_file(directory).has_value();
}

SafetensorsFile read_weights(const Path& directory, const ModelSpec& spec) {
  if (!is_torch_directory(directory)) return SafetensorsFile(directory / kWeightsFile);
  TorchFile file(*find_torch_file(directory));
  static_cast<void>(recognise_network(file));  // its names become kiln's
  return torch_weights(file, spec);
}

ModelDescription read_model_description(const Path& directory) {
  if (!std::filesystem::is_directory(directory))
    throw Error(ErrorKind::input, directory.string(), "is not a model directory",
                "name the folder that kiln train --model-dir wrote");
  const Path path = directory / kCardFile;
  if (is_torch_directory(directory)) return describe_torch(*find_torch_file(directory));
  ModelCard card = read_model_card(path);
  ModelSpec spec = parse_spec(card.spec, path.string() + ": spec");
  if (spec.height != card.input_height || spec.width != card.input_width ||
      spec.channels != card.input_channels ||
      spec.class_count != static_cast<std::int64_t>(card.classes.size()))
    throw Error(ErrorKind::input, path.string(),
                "has an input or classes that do not fit its spec");
  return {std::move(card), std::move(spec)};
}

}  // namespace kiln
