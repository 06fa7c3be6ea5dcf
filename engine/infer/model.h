// A trained network for inference: weights that nobody writes to any more, batch normalisation
// folded into the convolutions before it. Sessions on any number of threads share one model.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/core/device.h"
#include "engine/core/file.h"
#include "engine/infer/weights.h"
#include "models/model_card.h"
#include "models/spec.h"

namespace kiln::infer {

class Model {
 public:
  // Reads a model directory (model.safetensors, model.json) to `device`. Throws Error (input or io)
  // naming the file and the fault.
  static std::shared_ptr<const Model> load(const Path& directory, Device device = {});

  const ModelCard& card() const;
  const ModelSpec& spec() const;  // as trained; what was folded is seen in weights()
  Device device() const;
  std::size_t weight_bytes() const;
  const Weights& weights() const;
};

}  // namespace kiln::infer
