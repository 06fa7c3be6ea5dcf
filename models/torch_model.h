// A network out of a file of torch.save: which one it is, and its weights as kiln's own files have
// them.
//
// kiln's names are PyTorch's, those of the workshop's networks and of the usual CIFAR-10 ResNet-18:
// conv1, bn1, layerN.M.conv1, layerN.M.shortcut.0, linear. torchvision's names of a ResNet are
// taken for those: layerN.M.downsample.K is layerN.M.shortcut.K, fc is linear.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/file.h"
#include "models/model_card.h"
#include "models/safetensors.h"
#include "models/spec.h"
#include "models/torch_file.h"

namespace kiln {

// The network of models/zoo.h whose tensors, by name and shape, are those of `file`; torchvision's
// names in it become kiln's. Throws Error (input) saying which network is nearest and what differs.
ModelSpec recognise_network(TorchFile& file);
// The network `model`, a name or a spec file as find_model takes them, with as many classes as the
// file has outputs. Throws Error (usage or input).
ModelSpec named_network(TorchFile& file, const std::string& model);

// The weights of `spec`, f32, as model.safetensors holds them. Throws Error (input) naming a tensor
// that is missing, has another shape, is no floating-point one or belongs to no layer.
SafetensorsFile torch_weights(const TorchFile& file, const ModelSpec& spec);

// What such a file does not say, as the workshop has it: pictures normalised with mean 0.5 and
// deviation 0.5 (mnist: each by its own), the workshop's names of the classes for lenet with ten
// outputs, else "0", "1", ... The text of the spec is not in it.
ModelCard torch_card(const ModelSpec& spec, const Path& file);

// The .pth and .pt files of a folder, in order of their names; none where there is no folder.
// Throws Error (io).
std::vector<Path> torch_files_in(const Path& directory);
// The one that there is; nothing where there is none. Throws Error (input) where there are several.
std::optional<Path> find_torch_file(const Path& directory);

}  // namespace kiln
