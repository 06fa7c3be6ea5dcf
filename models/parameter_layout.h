// The tensors that a network keeps in a file: names and shapes as PyTorch has them, and the order
// of the elements in memory. Training and inference read and write the same files by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/shape.h"
#include "models/safetensors.h"
#include "models/spec.h"

namespace kiln {

enum class ParameterRole { weight, bias, norm_scale, norm_shift, running_mean, running_variance };

struct ParameterLayout {
  std::string name;  // PyTorch's: "conv1.weight", "bn1.running_mean"
  ParameterRole role = ParameterRole::weight;
  Shape shape;       // in memory: conv2d [K, R, S, C/groups], linear [O, I]
  Shape file_shape;  // in files:  conv2d [K, C/groups, R, S], linear [O, I]
  // In memory the elements stand as [outer, pixels, channels], in files as [outer, channels,
  // pixels]. For convolutions pixels = R*S; for the linear layer behind a flatten pixels = H*W of
  // the picture, because PyTorch flattens [C, H, W] and kiln [H, W, C]. Elsewhere pixels = 1.
  std::int64_t outer = 1, pixels = 1, channels = 1;
  std::int64_t fan_in = 1;  // inputs that one output sums over; sets the initialiser's bound
  Initialisation initialisation = Initialisation::uniform;  // of a weight
  bool trained = true;  // false: the spec keeps it as it begins; running statistics: true

  bool is_statistic() const {
    return role == ParameterRole::running_mean || role == ParameterRole::running_variance;
  }
  // Whether there is a gradient for it.
  bool trainable() const { return trained && !is_statistic(); }
};

// Everything that `spec` needs, in the order of its layers. Throws Error (input) for a spec that
// check_spec refuses and for two parameters of one name.
std::vector<ParameterLayout> parameter_layouts(const ModelSpec& spec);

// One parameter between its two orders of elements, each of `element_bytes`; the sizes are those of
// its shape. The bytes may start at any address and must not overlap.
void to_file_order(const ParameterLayout& layout, std::size_t element_bytes,
                   std::span<const std::byte> memory, std::span<std::byte> file);
void to_memory_order(const ParameterLayout& layout, std::size_t element_bytes,
                     std::span<const std::byte> file, std::span<std::byte> memory);

// PyTorch's name of the count of batches that belongs to a running mean.
std::string tracked_name(const ParameterLayout& running_mean);

// Throws Error (input) for the first tensor of the file that is not `known`, unless its name starts
// with one of `other_prefixes`: those belong to somebody else.
void refuse_strangers(const SafetensorsFile& file, const std::set<std::string_view>& known,
                      std::span<const std::string_view> other_prefixes = {});

}  // namespace kiln
