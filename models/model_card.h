// model.json: what a person and a program need to know beside the weights.
//
//   {"format": "kiln-model", "version": 1, "name": "lenet", "spec": {...},
//    "classes": ["airplane", ...], "input": {"height": 32, "width": 32, "channels": 3},
//    "normalisation": {"mode": "constants", "mean": [...], "std": [...]},
//    "accuracy": 0.634, "data": {"name": "cifar-10", "origin": "...", "synthetic": false},
//    "files": [{"name": "model.safetensors", "bytes": 251808, "sha256": "..."}, ...]}
//
// `files` may be missing. It is written last, so a reader that finds every file as it says there
// has a whole model of one writing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/file.h"
#include "models/file_digest.h"

namespace kiln {

// How pixels in [0, 1] become the network's input.
enum class NormalisationMode {
  constants,  // (x - mean[c]) / std[c]: constants that were chosen
  measured,   // the same, with constants measured on the training set
  per_image,  // each picture by its own mean and standard deviation; mean and std are empty
};

struct ModelCard {
  static constexpr std::int64_t kVersion = 1;

  std::string name;
  std::string spec = "{}";  // the network's structure: the text of one JSON object, not looked into
  std::vector<std::string> classes;  // by index of the network's outputs
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  std::int64_t input_channels = 0;
  NormalisationMode normalisation = NormalisationMode::constants;
  std::vector<double> mean;        // one per channel
  std::vector<double> std;         // one per channel, above zero
  std::optional<double> accuracy;  // on the test set, a fraction
  std::string data_name;
  std::string data_origin;
  bool synthetic = false;  // trained on a drawn stand-in set
  std::vector<FileDigest> files;
};

std::string to_json(const ModelCard& card);
// Checks every key. `thing` names the file in errors. Throws Error (input) naming the key.
ModelCard parse_model_card(std::string_view text, std::string_view thing);

ModelCard read_model_card(const Path& path);
void write_model_card(const Path& path, const ModelCard& card);

}  // namespace kiln
