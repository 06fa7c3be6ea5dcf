#include "engine/train/model_io.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "engine/core/error.h"
#include "models/model_directory.h"

namespace kiln {
namespace {

// PyTorch counts the batches that each batch normalisation has seen; all layers see every batch.
std::vector<std::string> tracked_names(const ParameterStore& parameters) {
  std::vector<std::string> names;
  for (const Parameter& p : parameters.all())
    if (p.role == ParameterRole::running_mean) names.push_back(tracked_name(p));
  return names;
}

}  // namespace

void TensorBundle::add_parameter(const std::string& name, const Parameter& parameter,
                                 const Tensor& memory) {
  Buffer& home = storage_.emplace_back(Device{}, memory.size_bytes());
  to_file_order(parameter, memory, Tensor(home.data(), parameter.shape, memory.dtype()));
  entries_.push_back(
      {name, memory.dtype(), parameter.file_shape, {home.data(), memory.size_bytes()}});
}

void TensorBundle::add_scalar(const std::string& name, std::int64_t value) {
  Buffer& home = storage_.emplace_back(Device{}, sizeof value);
  std::memcpy(home.data(), &value, sizeof value);
  entries_.push_back({name, DType::i64, Shape{}, {home.data(), sizeof value}});
}

void TensorBundle::add_all(const ParameterStore& parameters) {
  for (const Parameter& p : parameters.all()) add_parameter(p.name, p, p.value);
  for (const std::string& name : tracked_names(parameters))
    add_scalar(name, parameters.batches_tracked());
}

void read_parameters(const SafetensorsFile& file, ParameterStore& parameters,
                     std::span<const std::string_view> other_prefixes) {
  std::set<std::string_view> known;
  for (const Parameter& p : parameters.all()) {
    const SafetensorsEntry& entry = file.at(p.name, parameters.dtype(), p.file_shape);
    known.insert(p.name);
    // The file's bytes may start anywhere; to_memory_order copies byte by byte.
    to_memory_order(p, Tensor(const_cast<std::byte*>(entry.bytes.data()), p.shape, entry.dtype),
                    p.value);
  }
  const std::vector<std::string> tracked = tracked_names(parameters);
  for (const std::string& name : tracked) {
    known.insert(name);
    const SafetensorsEntry* entry = file.find(name);
    if (entry == nullptr || entry->dtype != DType::i64 || entry->bytes.size() != 8) continue;
    std::int64_t count = 0;
    std::memcpy(&count, entry->bytes.data(), sizeof count);
    if (count < 0 || count > kMostCounted)
      throw Error(ErrorKind::input, file.path().string(),
                  "has " + std::to_string(count) + " as " + name);
    parameters.set_batches_tracked(count);
  }
  refuse_strangers(file, known, other_prefixes);
}

void save_weights(const Path& directory, const ParameterStore& parameters) {
  make_directories(directory);
  TensorBundle bundle;
  bundle.add_all(parameters);
  write_safetensors(directory / kWeightsFile, bundle.entries(), {{"format", "pt"}});
}

void save_model(const Path& directory, const ModelCard& card, const ParameterStore& parameters) {
  save_weights(directory, parameters);
  ModelCard whole = card;
  whole.files = {digest_file(directory, kWeightsFile)};
  write_model_card(directory / kCardFile, whole);
}

std::unique_ptr<Model> load_model(const Path& directory, DType dtype, Device device) {
  return load_model(directory, dtype, device, dtype);
}

std::unique_ptr<Model> load_model(const Path& directory, DType dtype, Device device,
                                  DType storage) {
  auto [card, spec] = read_model_description(directory);
  auto model = std::make_unique<Model>(
      Model{card, spec, normalisation_of(card), ParameterStore(spec, dtype, device, storage)});
  read_parameters(read_weights(directory, spec), model->parameters);
  return model;
}

Normalisation normalisation_of(const ModelCard& card) {
  Normalisation n;
  if (card.normalisation == NormalisationMode::measured) n.mode = Normalisation::Mode::measured;
  if (card.normalisation == NormalisationMode::per_image) n.mode = Normalisation::Mode::per_image;
  for (std::size_t i = 0; i < std::min(card.mean.size(), n.mean.size()); ++i) {
    n.mean[i] = static_cast<float>(card.mean[i]);
    n.std[i] = static_cast<float>(card.std[i]);
  }
  return n;
}

void set_normalisation(ModelCard& card, const Normalisation& n) {
  card.mean.clear();
  card.std.clear();
  card.normalisation = NormalisationMode::constants;
  if (n.mode == Normalisation::Mode::measured) card.normalisation = NormalisationMode::measured;
  if (n.mode == Normalisation::Mode::per_image) {
    card.normalisation = NormalisationMode::per_image;
    return;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(card.input_channels); ++i) {
    card.mean.push_back(static_cast<double>(n.mean.at(i)));
    card.std.push_back(static_cast<double>(n.std.at(i)));
  }
}

}  // namespace kiln
