#include "engine/infer/geometry.h"

namespace kiln::infer {

Conv2dShape conv_shape(const LayerSpec& layer, const Shape& input) {
  return {.n = input[0],
          .h = input[1],
          .w = input[2],
          .c = input[3],
          .k = layer.out_features,
          .r = layer.kernel_h,
          .s = layer.kernel_w,
          .stride_h = layer.stride_h,
          .stride_w = layer.stride_w,
          .pad_h = layer.padding_h,
          .pad_w = layer.padding_w,
          .dilation_h = layer.dilation_h,
          .dilation_w = layer.dilation_w,
          .groups = layer.groups};
}

Pool2dShape pool_shape(const LayerSpec& layer, const Shape& input) {
  return {.n = input[0],
          .h = input[1],
          .w = input[2],
          .c = input[3],
          .r = layer.kernel_h,
          .s = layer.kernel_w,
          .stride_h = layer.stride_h,
          .stride_w = layer.stride_w,
          .pad_h = layer.padding_h,
          .pad_w = layer.padding_w};
}

}  // namespace kiln::infer
