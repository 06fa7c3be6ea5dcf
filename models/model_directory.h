// The folder that training writes, without its weights: the card and the structure inside it.
#pragma once

#include "engine/core/file.h"
#include "models/model_card.h"
#include "models/safetensors.h"
#include "models/spec.h"

namespace kiln {

inline constexpr const char* kCardFile = "model.json";
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kGoldenFile = "golden.safetensors";

struct ModelDescription {
  ModelCard card;
  ModelSpec spec;
};

// The description of a folder: its model.json, or what models/torch_model.h says of the .pth or .pt
// file of a folder that is_torch_directory. Checks that input and classes are those of the spec.
// Throws Error (input or io) naming the file and the fault.
ModelDescription read_model_description(const Path& directory);

// The weights that go with it: model.safetensors, or those of the .pth or .pt file of a folder that
// is_torch_directory. Throws Error (input or io).
SafetensorsFile read_weights(const Path& directory, const ModelSpec& spec);

// Whether `directory` is a model by PyTorch's file alone: without model.json, and without the
// model.safetensors of one that is being written.
bool is_torch_directory(const Path& directory);

}  // namespace kiln
