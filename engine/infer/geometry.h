// Layers of a spec as the shapes that kernels take.
#pragma once

#include "kernels/include/conv2d_shape.h"
#include "kernels/include/pool2d_shape.h"
#include "models/spec.h"

namespace kiln::infer {

// `input`: [N, H, W, C].
Conv2dShape conv_shape(const LayerSpec& layer, const Shape& input);
Pool2dShape pool_shape(const LayerSpec& layer, const Shape& input);

}  // namespace kiln::infer
