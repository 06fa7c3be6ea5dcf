// Our own convolution by Winograd's algorithm F(4x4, 3x3): 36 products where the definition takes
// 144 (docs/math.md, "Winograd's algorithm"). NHWC; the channels of a pixel fill the vectors of the
// transforms, and each of the 36 places of the transformed tiles is one matrix product on the
// micro-kernel of gemm_tile.h. f32, and bf16 as storage: the transforms read and write it, and
// all between is f32.
//
//   forward            y = A^T [U . (B^T x B)] A with U = G w G^T, summed over C
//   gradient of x      the same, over dy with the filters turned round and C and K exchanged
//   gradient of w      dw = G^T [sum over tiles (A dy A^T) . (B^T x B)] G
//
// Tiles at the right and lower side may stick out; what sticks out is computed and dropped. Errors
// against the double oracle: docs/decisions.md. An infinity or a NaN in x or dy reaches every
// output of the tiles that read it.
#pragma once

#include <cstddef>

#include "engine/core/context.h"
#include "kernels/include/conv2d.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cpu {

// For shapes that winograd_takes (conv2d_winograd_rule.h).

// Bytes of scratch, for a number of threads and of partial sums of the weight gradient.
std::size_t conv2d_winograd_scratch_bytes(const Conv2dShape& shape, int thread_count,
                                          Filters filters = Filters::plain);
std::size_t conv2d_dx_winograd_scratch_bytes(const Conv2dShape& shape, int thread_count);
std::size_t conv2d_dw_winograd_scratch_bytes(const Conv2dShape& shape, DType dtype,
                                             int thread_count, int parts);

// Transformed filters for Conv2dArgs::packed, whatever N: how many floats, and their making from w,
// f32 [K,3,3,C]. What they are padded with is zeros.
std::int64_t conv2d_winograd_packed_count(const Conv2dShape& shape);
void conv2d_winograd_pack(const Conv2dShape& shape, const float* w, float* packed);

// Contracts: conv2d.h and conv2d_grad.h. The bits of y and dx depend neither on the batch nor on
// the thread count, those of dw and dbias on reduction_parts(N).
void conv2d_winograd(Context& context, const Conv2dArgs& args);
void conv2d_dx_winograd(Context& context, const Conv2dGradArgs& args);
void conv2d_dw_winograd(Context& context, const Conv2dGradArgs& args);

}  // namespace kiln::cpu
