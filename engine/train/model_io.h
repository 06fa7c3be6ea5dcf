// Weights in files, and the model directory that training writes:
//
//   model.safetensors   weights and running statistics, PyTorch's names and layouts, f32
//   model.json          structure, classes, input, normalisation, accuracy (models/model_card.h)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/file.h"
#include "engine/data/normalisation.h"
#include "engine/train/parameters.h"
#include "models/model_card.h"
#include "models/safetensors.h"
#include "models/spec.h"

namespace kiln {

// Named tensors in PyTorch's layout that own their bytes: what goes into a safetensors file.
class TensorBundle {
 public:
  // A copy of a parameter-shaped tensor in file order, under `name`.
  void add_parameter(const std::string& name, const Parameter& parameter, const Tensor& memory);
  void add_scalar(const std::string& name, std::int64_t value);
  // All values of the store; batch normalisation also gets PyTorch's num_batches_tracked.
  void add_all(const ParameterStore& parameters);
  std::span<const SafetensorsEntry> entries() const { return entries_; }

 private:
  std::vector<Buffer> storage_;
  std::vector<SafetensorsEntry> entries_;
};

// The most that a count in a file may say: more than any run takes, and far from overflow.
inline constexpr std::int64_t kMostCounted = std::int64_t{1} << 50;

// Fills every value of the store from `file`. Throws Error (input) naming a tensor that is missing,
// has another shape or type, or belongs to no layer of the network. Names that start with one of
// `other_prefixes` belong to somebody else.
void read_parameters(const SafetensorsFile& file, ParameterStore& parameters,
                     std::span<const std::string_view> other_prefixes = {});

struct Model {
  ModelCard card;
  ModelSpec spec;
  Normalisation normalisation;
  ParameterStore parameters;
};

// Writes model.safetensors, atomically.
void save_weights(const Path& directory, const ParameterStore& parameters);
// Writes both files atomically, the card last and with the digest of the weights: a directory whose
// files are what its card says is whole.
void save_model(const Path& directory, const ModelCard& card, const ParameterStore& parameters);

// Throws Error (input or io) naming the file and the fault.
std::unique_ptr<Model> load_model(const Path& directory, DType dtype, Device device);
// With layers that read copies of type `storage`; refresh_copies must run before the first forward,
// as Evaluator and BatchRunner do.
std::unique_ptr<Model> load_model(const Path& directory, DType dtype, Device device, DType storage);

// Between the card's constants and the data room's.
Normalisation normalisation_of(const ModelCard& card);
void set_normalisation(ModelCard& card, const Normalisation& normalisation);

}  // namespace kiln
