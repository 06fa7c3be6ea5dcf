// Our own f32 convolution where a group has few channels: depthwise (one in, one out) and nearly
// so. The register blocks of gemm_tile.h would stay mostly empty on them.
//
// Depthwise images are read in place. Otherwise each thread makes a copy of an image in which a
// pixel is [depth][channels]: for each output channel the inputs of its group.
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cpu {

// The rule; measured in docs/decisions.md.
bool is_depthwise(const Conv2dShape& shape);

// Floats: of weights in the order of the inner loops, and of scratch besides.
std::int64_t depthwise_packed_count(const Conv2dShape& shape);
std::int64_t depthwise_scratch_count(const Conv2dShape& shape, int thread_count);
void depthwise_pack(const Conv2dShape& shape, const float* w, float* packed);

std::size_t depthwise_dx_scratch_bytes(const Conv2dShape& shape, int thread_count);
std::size_t depthwise_dw_scratch_bytes(const Conv2dShape& shape, int thread_count, int parts);

void depthwise_f32(Context& context, const Conv2dArgs& args);
void depthwise_dx_f32(Context& context, const Conv2dGradArgs& args);
void depthwise_dw_f32(Context& context, const Conv2dGradArgs& args);

}  // namespace kiln::cpu
