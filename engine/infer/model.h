// A trained network for inference: weights that nobody writes to any more, batch normalisation
// folded into the convolutions before it. Sessions on any number of threads share one model.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/file.h"
#include "engine/infer/steps.h"
#include "engine/infer/weights.h"
#include "models/model_card.h"
#include "models/model_directory.h"
#include "models/spec.h"

namespace kiln::infer {

class Model {
 public:
  // Reads a model directory (model.safetensors, model.json) to `device`. Throws Error (input or io)
  // naming the file and the fault.
  static std::shared_ptr<const Model> load(const Path& directory, Device device = {});
  // The same with a description that is not in the directory, or not yet.
  static std::shared_ptr<const Model> load(const Path& directory, ModelDescription description,
                                           Device device = {});

  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelCard& card() const { return description_.card; }
  // As trained; what was folded is seen in steps() and weights().
  const ModelSpec& spec() const { return description_.spec; }
  Device device() const { return device_; }
  std::size_t weight_bytes() const { return weights_.size_bytes(); }
  const std::vector<Step>& steps() const { return steps_; }
  const Weights& weights() const { return weights_; }

 private:
  Model(ModelDescription description, const Path& directory, Device device);

  ModelDescription description_;
  Device device_;
  std::vector<Step> steps_;
  Weights weights_;
};

}  // namespace kiln::infer
