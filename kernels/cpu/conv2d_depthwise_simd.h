// Convolutions with few channels per group, f32, vectorised over the output channels: sums of
// products of a whole pixel with one tap's weights.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// A WindowAxis (kernels/cpu/conv2d_window.h) as plain numbers: the vectorised files share no inline
// function with the rest of the program.
struct DepthwiseAxis {
  std::int64_t source, outputs, stride, first, taps, step;
  std::int64_t weight_first, weight_step, out_first, out_step;
};

// The numbers that all rows of a pass share. A source pixel is [depth][channels], so that channel k
// of the output sums over the `depth` values that stand at k; weights are [tap][depth][channels].
struct DepthwiseJob {
  DepthwiseAxis h, w;
  std::int64_t channels, depth;
  std::int64_t weight_row;  // taps of the window's whole width
  std::int64_t out_width;
  const float* weights;  // of depthwise_dw_f32: dw itself
  const float* start;    // [channels] or null
  bool add, relu;
};

}  // namespace kiln::cpu

// depthwise_rows_f32: output rows [begin, end) of one image. Each output is one sum in the order of
// the taps, whatever block of pixels it is computed in.
// depthwise_dw_f32: adds one image's share to dw [tap][depth][channels] and dbias [channels]; `out`
// of the job is dy.
KILN_DECLARE_ISA(void depthwise_rows_f32(const DepthwiseJob& job, const float* source, float* out,
                                         std::int64_t begin, std::int64_t end);
                 void depthwise_dw_f32(const DepthwiseJob& job, const float* source,
                                       const float* dy, float* dw, float* dbias);)
