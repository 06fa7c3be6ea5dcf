// kiln convert: PyTorch's files from and to kiln's.
#pragma once

#include <string>
#include <vector>

#include "engine/core/file.h"

namespace kiln {

struct ConvertOptions {
  std::string source, target;
  std::string model;                 // a network by name or spec file; empty: as the files say
  std::int64_t class_count = 0;      // of `model`; 0: ten, or as its spec file says
  std::vector<std::string> classes;  // empty: as torch_card() has them
  std::vector<double> mean, std;     // empty: as torch_card() has them
  bool module_prefix = false;        // "module." in front of every name
  bool weights_only = false;         // of a checkpoint
};

// A file of torch.save into a model directory. Prints one line. Throws Error.
void convert_from_torch(const ConvertOptions& options);

// A model directory, a model.safetensors or a checkpoint.safetensors beside a model.json into a
// file for torch.load. Prints one line. Throws Error.
void convert_to_torch(const ConvertOptions& options);

}  // namespace kiln
