// The folders of SageMaker's training contract.
#pragma once

#include "engine/core/file.h"

namespace kiln::sagemaker {

struct ContainerPaths {
  explicit ContainerPaths(Path base_folder) : base(std::move(base_folder)) {}

  Path base;  // /opt/ml, or $SAGEMAKER_BASE_DIR
  Path input() const { return base / "input"; }
  Path config() const { return input() / "config"; }
  Path data() const { return input() / "data"; }
  Path channel(std::string_view name) const { return data() / name; }
  Path model() const { return base / "model"; }
  Path output() const { return base / "output"; }
  Path output_data() const { return output() / "data"; }
  Path output_intermediate() const { return output() / "intermediate"; }
  Path checkpoints() const { return base / "checkpoints"; }
  Path code() const { return base / "code"; }
};

}  // namespace kiln::sagemaker
