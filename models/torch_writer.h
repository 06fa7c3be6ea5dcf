// Files that torch.load(weights_only=True) reads: the form that models/torch_file.h describes. The
// same tensors give the same bytes; each storage begins at a multiple of 64 bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/core/file.h"
#include "models/safetensors.h"

namespace kiln {

// What training has beside the weights, in the workshop's names: {"epoch", "model_state_dict",
// "optimizer_state_dict", "loss"}.
struct TorchTraining {
  using Setting = std::variant<std::monostate, bool, double, std::pair<double, double>>;

  std::int64_t epoch = 0;  // epochs done
  float loss = 0.0f;       // of the last batch; a tensor in the file
  // One group of all parameters, as torch.optim has it: "lr", "momentum", ...
  std::vector<std::pair<std::string, Setting>> settings;
  // By the parameter's number, in the order of model.parameters(): "momentum_buffer", ... The names
  // of the entries are those of the state.
  std::vector<std::vector<SafetensorsEntry>> state;
};

// An ordered dictionary of `weights`, in their order, each name behind `prefix`. Throws Error (io;
// unsupported from 4 GiB up).
void write_torch_weights(const Path& path, std::span<const SafetensorsEntry> weights,
                         const std::string& prefix = "");
// The same as a checkpoint.
void write_torch_checkpoint(const Path& path, std::span<const SafetensorsEntry> weights,
                            const TorchTraining& training, const std::string& prefix = "");

}  // namespace kiln
