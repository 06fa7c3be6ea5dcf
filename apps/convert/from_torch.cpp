#include <cstdio>
#include <set>

#include "apps/common/options.h"
#include "apps/common/text.h"
#include "apps/convert/convert.h"
#include "engine/core/error.h"
#include "models/model_directory.h"
#include "models/torch_model.h"

namespace kiln {
namespace {

void set_classes(ModelCard& card, const std::vector<std::string>& classes) {
  if (classes.empty()) return;
  const std::set<std::string_view> distinct(classes.begin(), classes.end());
  if (classes.size() != card.classes.size() || distinct.size() != classes.size() ||
      distinct.contains(""))
    throw Error(ErrorKind::usage, "--classes",
                "has " + std::to_string(distinct.size()) + " different names; the network has " +
                    std::to_string(card.classes.size()) + " outputs",
                "name each class once");
  card.classes = classes;
}

void set_scale(ModelCard& card, const ConvertOptions& o) {
  if (o.mean.empty() && o.std.empty()) return;
  const auto channels = static_cast<std::size_t>(card.input_channels);
  if (o.mean.size() != channels || o.std.size() != channels)
    throw Error(ErrorKind::usage, "--mean and --std",
                "need " + std::to_string(channels) + " numbers each, one per channel");
  check_mean_and_std(o.mean, o.std);
  card.normalisation = NormalisationMode::constants;
  card.mean = o.mean;
  card.std = o.std;
}

std::int64_t parameter_count(const SafetensorsFile& weights) {
  std::int64_t count = 0;
  for (const SafetensorsEntry& entry : weights.entries())
    if (entry.dtype == DType::f32 && !entry.name.ends_with(".running_mean") &&
        !entry.name.ends_with(".running_var"))
      count += entry.shape.element_count();
  return count;
}

}  // namespace

void convert_from_torch(const ConvertOptions& o) {
  TorchFile file{Path(o.source)};
  const ModelSpec spec = o.model.empty() ? recognise_network(file) : named_network(file, o.model);
  const SafetensorsFile weights = torch_weights(file, spec);
  ModelCard card = torch_card(spec, o.source);
  card.spec = to_json(spec);
  set_classes(card, o.classes);
  set_scale(card, o);
  const Path directory = o.target;
  make_directories(directory);
  write_safetensors(directory / kWeightsFile, weights.entries(), {{"format", "pt"}});
  card.files = {digest_file(directory, kWeightsFile)};
  write_model_card(directory / kCardFile, card);
  const bool per_image = card.normalisation == NormalisationMode::per_image;
  std::printf("wrote %s: %s, %s parameters, %lld classes, pictures normalised %s\n",
              printable(o.target, 4096).c_str(), printable(spec.name).c_str(),
              grouped_text(parameter_count(weights)).c_str(),
              static_cast<long long>(spec.class_count),
              per_image        ? "each by its own mean and deviation"
              : o.mean.empty() ? "with mean 0.5 and deviation 0.5"
                               : "as --mean and --std say");
}

}  // namespace kiln
