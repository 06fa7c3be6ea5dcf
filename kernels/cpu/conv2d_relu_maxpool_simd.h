// The vectorised f32 bodies of conv2d_relu_maxpool and its gradient: what the files compiled once
// per instruction set offer to the ones compiled once. Plain data and functions only.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace kiln::cpu {

// The extents of one image's problem: x [h, w, c], filters [k, r, s, c], pooled [p, q, k].
struct ConvPoolExtents {
  int h, w, c;
  int k, r, s;
  int pad_h, pad_w;
  int p, q;
};

// Images of one call: `x`, `y` and `index` (or null) of the first one; `scratch` is the calling
// thread's own.
struct ConvPoolImages {
  const float* x;
  float* y;
  std::uint8_t* index;
  std::int64_t count;
  float* scratch;
};

// The same for the gradient; `dx` is null where nobody wants it. `sums` [k, r, conv_pool_dw_row],
// then [k], are the partial sums of dw and dbias that the images are added to.
struct ConvPoolGradImages {
  const float* x;
  const float* y;
  const std::uint8_t* index;
  const float* dy;
  float* dx;
  bool add_to_dx;
  std::int64_t count;
  bool half_vectors;  // with AVX-512: patches by 256 bits; changes no bit of a result
  float* sums;
  float* scratch;
};

}  // namespace kiln::cpu

KILN_DECLARE_ISA(
    // Floats of packed filters, which every thread reads, and of those behind them that only pack()
    // needs.
    std::int64_t conv_pool_packed_floats(const ConvPoolExtents&);
    std::int64_t conv_pool_pack_scratch_floats(const ConvPoolExtents&);
    // Floats of scratch per thread.
    std::int64_t conv_pool_thread_floats(const ConvPoolExtents&);
    // Brings the filters w [k,r,s,c] and the bias (or null) into the order of the inner loops.
    void conv_pool_pack(const ConvPoolExtents&, const float* w, const float* bias, float* packed);
    void conv_pool_forward(const ConvPoolExtents&, const float* packed, const ConvPoolImages&);

    // Floats from one row of S*C sums of dw to the next: whole vectors.
    int conv_pool_dw_row(const ConvPoolExtents&);
    // As above, for the gradient; `w` is null where no dx is wanted.
    std::int64_t conv_pool_grad_packed_floats(const ConvPoolExtents&);
    std::int64_t conv_pool_grad_thread_floats(const ConvPoolExtents&);
    void conv_pool_grad_pack(const ConvPoolExtents&, const float* w, float* packed);
    void conv_pool_grad(const ConvPoolExtents&, const float* packed, const ConvPoolGradImages&);)
