// The numbers that a network's steps read, on the model's device. Nobody writes to them once they
// are loaded, so sessions on any number of threads share them.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/tensor.h"
#include "engine/infer/steps.h"
#include "kernels/include/conv2d_shape.h"
#include "models/safetensors.h"

namespace kiln::infer {

// Of one convolution or linear layer (w, bias), or of one batch normalisation that stands alone.
// All f32; shapes as kernels/include has them. On the CPU a convolution's filters are kept packed
// and not as w, with the bias where the kernel packs both.
struct LayerWeights {
  Tensor w;       // conv2d [K, R, S, C/groups], linear [O, I]; times what was folded into it
  Tensor bias;    // [K] or [O]; empty where the layer has none and nothing was folded into it
  Tensor packed;  // by conv2d_pack or conv2d_relu_maxpool_pack
  Filters packing = Filters::packed;
  Tensor gamma, beta, running_mean, running_var;  // [C]
};

class Weights {
 public:
  // Reads what `spec` needs and folds what `steps` says, in double precision. Throws Error (input)
  // naming a tensor that is missing, has another shape or type, belongs to no layer, or is a
  // variance below zero.
  Weights(const SafetensorsFile& file, const ModelSpec& spec, const std::vector<Step>& steps,
          Device device);

  // `layer` must be one of the network's with weights of its own.
  const LayerWeights& of(std::string_view layer) const;
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  // Zeros that live as long as this.
  Tensor make(const Shape& shape, Device device);
  Tensor keep(std::span<const float> values, const Shape& shape, Device device);
  // `w` and `bias` as LayerWeights has them; `bias` may be empty.
  LayerWeights weighted(const Step& step, const Tensor& w, const Tensor& bias, Device device);

  std::deque<Buffer> buffers_;
  std::map<std::string, LayerWeights, std::less<>> layers_;
  std::size_t size_bytes_ = 0;
};

}  // namespace kiln::infer
