#include "engine/infer/model.h"

#include "engine/core/error.h"

namespace kiln::infer {
namespace {

// What normalize_image takes with constants of its own per channel.
constexpr std::int64_t kMostScaledChannels = 4;

void check_channels(const ModelCard& card, const Path& path) {
  if (card.normalisation != NormalisationMode::per_image &&
      card.input_channels > kMostScaledChannels)
    throw Error(ErrorKind::unsupported, path.string(),
                "has pictures of " + std::to_string(card.input_channels) + " channels",
                "use at most 4, or normalisation per_image");
}

}  // namespace

std::shared_ptr<const Model> Model::load(const Path& directory, Device device) {
  return load(directory, read_model_description(directory), device);
}

std::shared_ptr<const Model> Model::load(const Path& directory, ModelDescription description,
                                         Device device) {
  check_channels(description.card, directory / kCardFile);
  return std::shared_ptr<const Model>(new Model(std::move(description), directory, device));
}

Model::Model(ModelDescription description, const Path& directory, Device device)
    : description_(std::move(description)),
      device_(device),
      steps_(steps_of(description_.spec, device.is_host())),
      weights_(read_weights(directory, description_.spec), description_.spec, steps_, device) {}

}  // namespace kiln::infer
