// The weights of a network, their gradients, and what batch normalisation remembers.
//
// Values and gradients each lie in one flat buffer, in the reverse order of the layers: while
// backward runs, the finished gradients are a growing prefix of the buffer. An optimizer walks the
// buffers without knowing a single layer.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/tensor.h"
#include "models/spec.h"

namespace kiln {

enum class ParameterRole { weight, bias, norm_scale, norm_shift, running_mean, running_variance };

struct Parameter {
  std::string name;  // PyTorch's: "conv1.weight", "bn1.running_mean"
  ParameterRole role = ParameterRole::weight;
  Shape shape;       // in memory: conv2d [K, R, S, C/groups], linear [O, I]
  Shape file_shape;  // in files:  conv2d [K, C/groups, R, S], linear [O, I]
  // In memory the elements stand as [outer, pixels, channels], in files as [outer, channels,
  // pixels]. For convolutions pixels = R*S; for the linear layer behind a flatten pixels = H*W of
  // the picture, because PyTorch flattens [C, H, W] and kiln [H, W, C]. Elsewhere pixels = 1.
  std::int64_t outer = 1, pixels = 1, channels = 1;
  std::int64_t fan_in = 1;  // inputs that one output sums over; sets the initialiser's bound
  Tensor value, gradient;   // gradient is empty for running statistics

  bool trainable() const {
    return role != ParameterRole::running_mean && role != ParameterRole::running_variance;
  }
};

class ParameterStore {
 public:
  // Declares and allocates everything that `spec` needs; values are zero until initialised.
  ParameterStore(const ModelSpec& spec, DType dtype, Device device);

  // The same values, this store's, beside gradients of its own: for one of several threads that
  // work on slices of a batch. This store must outlive it.
  ParameterStore with_own_gradients() const;

  DType dtype() const { return dtype_; }
  // In the order of the layers. References stay valid for the life of the store.
  const std::deque<Parameter>& all() const { return parameters_; }
  Parameter& find(std::string_view name);
  const Parameter& find(std::string_view name) const;
  bool contains(std::string_view name) const;

  // Trainable values, and their gradients, as two flat tensors of equal length. Parameters start on
  // cache lines; the padding between them is zero and stays zero under every optimizer.
  Tensor flat_values() const { return flat_values_; }
  Tensor flat_gradients() const { return flat_gradients_; }
  std::int64_t trainable_count() const;

  // Batches that batch normalisation has seen in training; kept for PyTorch's num_batches_tracked.
  std::int64_t batches_tracked() const { return batches_tracked_; }
  void set_batches_tracked(std::int64_t count) { batches_tracked_ = count; }

  // PyTorch's defaults: weights and biases of conv2d and linear uniform in
  // [-1/sqrt(fan_in), 1/sqrt(fan_in)) (kaiming_uniform with a = sqrt(5)), norm scale 1, shift 0,
  // running mean 0, running variance 1. The numbers of a parameter depend on the seed and its
  // place in the network only.
  void initialise(std::uint64_t seed);

 private:
  ParameterStore(DType dtype, Device device) : dtype_(dtype), device_(device) {}
  void declare(const LayerSpec& layer, const Shape& input, const Shape& before_flatten);
  void declare_weight(const LayerSpec& layer, const Shape& input, const Shape& before_flatten);
  void declare_norm(const LayerSpec& layer, std::int64_t channels);
  void add(Parameter parameter);
  void allocate();

  DType dtype_;
  Device device_;
  std::int64_t batches_tracked_ = 0;
  std::deque<Parameter> parameters_;
  Buffer values_, gradients_, statistics_;
  Tensor flat_values_, flat_gradients_;
};

// One parameter between its two orders of elements. `memory` has parameter.shape, `file` has
// parameter.file_shape; both hold the same element type.
void to_file_order(const Parameter& parameter, const Tensor& memory, const Tensor& file);
void to_memory_order(const Parameter& parameter, const Tensor& file, const Tensor& memory);

}  // namespace kiln
