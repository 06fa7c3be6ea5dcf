// The folder that training writes, without its weights: the card and the structure inside it.
#pragma once

#include "engine/core/file.h"
#include "models/model_card.h"
#include "models/spec.h"

namespace kiln {

inline constexpr const char* kCardFile = "model.json";
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kGoldenFile = "golden.safetensors";

struct ModelDescription {
  ModelCard card;
  ModelSpec spec;
};

// Reads model.json and checks that its input and classes are those of its spec. Throws Error (input
// or io) naming the file and the fault.
ModelDescription read_model_description(const Path& directory);

}  // namespace kiln
