#include "models/model_directory.h"

#include <filesystem>

#include "engine/core/error.h"

namespace kiln {

ModelDescription read_model_description(const Path& directory) {
  if (!std::filesystem::is_directory(directory))
    throw Error(ErrorKind::input, directory.string(), "is not a model directory",
                "name the folder that kiln train --model-dir wrote");
  const Path path = directory / kCardFile;
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
