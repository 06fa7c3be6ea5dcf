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
#include "models/parameter_layout.h"
#include "models/spec.h"

namespace kiln {

struct Parameter : ParameterLayout {
  Tensor value, gradient;  // gradient is empty where trainable() is false
  Tensor working;          // what layers read: value, or its 16-bit copy

  // Trained with 16-bit gradients and a 16-bit copy in mixed precision on a device.
  bool narrow() const { return role == ParameterRole::weight || role == ParameterRole::bias; }
};

// Trainable parameters side by side that one call of an optimizer updates. `offset_bytes`: where
// they begin in flat_values(). In mixed precision on a device there are two: convolutions' and
// linear layers' with 16-bit gradients and copies, then batch normalisation's, all f32. On the CPU
// there is one, with f32 gradients and copies of everything.
struct ParameterSpan {
  Tensor values, gradients, copies;  // copies may be empty
  std::size_t offset_bytes = 0;
};

class ParameterStore {
 public:
  // Declares and allocates everything that `spec` needs; values are zero until initialised.
  ParameterStore(const ModelSpec& spec, DType dtype, Device device)
      : ParameterStore(spec, dtype, device, dtype) {}
  // Mixed precision where `storage` is f16 or bf16 and dtype f32: layers read copies of that type
  // (engine/train/mixed_precision.h). On a device they write gradients of that type too and read
  // biases in it; on the CPU gradients and biases are f32, and storage is no f16. f16 brings the
  // state of loss scaling.
  ParameterStore(const ModelSpec& spec, DType dtype, Device device, DType storage);

  // The same values, this store's, beside gradients of its own: for one of several threads that
  // work on slices of a batch. This store must outlive it. Not for 16-bit gradients.
  ParameterStore with_own_gradients() const;

  DType dtype() const { return dtype_; }
  DType storage() const { return storage_; }
  bool mixed() const { return storage_ != dtype_; }
  bool narrow_gradients() const { return mixed() && !device_.is_host(); }
  // Layers read the 16-bit copy of `parameter`; on the CPU biases are read as f32.
  bool read_narrow(const Parameter& parameter) const {
    return mixed() &&
           (narrow_gradients() ? parameter.narrow() : parameter.role == ParameterRole::weight);
  }
  const std::vector<ParameterSpan>& spans() const { return spans_; }
  // kernels/include/loss_scale_update.h; empty unless the storage is f16.
  Tensor loss_scale() const { return loss_scale_; }
  // In the order of the layers. References stay valid for the life of the store.
  const std::deque<Parameter>& all() const { return parameters_; }
  Parameter& find(std::string_view name);
  const Parameter& find(std::string_view name) const;
  bool contains(std::string_view name) const;

  // Trainable values, and their gradients, as two flat tensors of equal length. Parameters start on
  // cache lines; the padding between them is zero and stays zero under every optimizer. Where
  // gradients have 16 bits they are those of spans(), and flat_gradients() is empty.
  Tensor flat_values() const { return flat_values_; }
  Tensor flat_gradients() const { return flat_gradients_; }
  std::int64_t trainable_count() const;

  // Batches that batch normalisation has seen in training; kept for PyTorch's num_batches_tracked.
  std::int64_t batches_tracked() const { return batches_tracked_; }
  void set_batches_tracked(std::int64_t count) { batches_tracked_ = count; }

  // PyTorch's defaults: weights and biases of conv2d and linear uniform in
  // [-1/sqrt(fan_in), 1/sqrt(fan_in)) (kaiming_uniform with a = sqrt(5)), norm scale 1, shift 0,
  // running mean 0, running variance 1; then what the spec asks for (Initialisation). Whitening
  // wants pictures, and is left to engine/train/whitening.h. The numbers of a parameter depend on
  // the seed and its place in the network only.
  void initialise(std::uint64_t seed);

 private:
  ParameterStore(DType dtype, Device device) : dtype_(dtype), device_(device), storage_(dtype) {}
  void allocate();
  void allocate_fixed_copies();
  void allocate_copies();
  void allocate_narrow(std::size_t narrow_bytes);

  DType dtype_;
  Device device_;
  DType storage_;
  std::int64_t batches_tracked_ = 0;
  std::deque<Parameter> parameters_;
  Buffer values_, gradients_, statistics_;
  Tensor flat_values_, flat_gradients_, flat_copies_;
  Buffer copies_, narrow_gradient_home_, loss_scale_home_;
  std::deque<Buffer> fixed_copies_;  // of weights that are not trained
  std::vector<ParameterSpan> spans_;
  Tensor loss_scale_;
};

// One parameter between its two orders of elements. `memory` has parameter.shape, `file` has
// parameter.file_shape; both hold the same element type.
void to_file_order(const Parameter& parameter, const Tensor& memory, const Tensor& file);
void to_memory_order(const Parameter& parameter, const Tensor& file, const Tensor& memory);

}  // namespace kiln
