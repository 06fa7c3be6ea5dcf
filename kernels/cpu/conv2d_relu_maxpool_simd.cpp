// Two ways to put a convolution with few channels into vector lanes, so that a 2x2 window is pooled
// inside the registers that the convolution left it in and the wide activations never exist:
// filters in lanes, or columns in lanes. Both compute the rows of conv2d_relu_maxpool_rows.h.
#include "kernels/cpu/conv2d_relu_maxpool_simd.h"

#include "kernels/cpu/conv2d_relu_maxpool_columns.h"
#include "kernels/cpu/conv2d_relu_maxpool_filters.h"

namespace kiln::cpu::KILN_ISA {
namespace {

bool wants_filters_in_lanes(const ConvPoolExtents& e) {
  if constexpr (kLanes == 4) return true;  // filters fill so few lanes well enough
  if (e.s != 3 && e.s != 5) return true;   // the other way is compiled for these widths only
  // Share of lanes at work: k of round_up(k) against q of the vectors that hold q windows.
  const int columns = block_count(e.q, columns_in_lanes::kWindows) * kLanes;
  return e.k * columns >= e.q * round_up(e.k, kLanes);
}

}  // namespace

std::int64_t conv_pool_packed_floats(const ConvPoolExtents& e) {
  return wants_filters_in_lanes(e) ? filters_in_lanes::packed_floats(e)
                                   : columns_in_lanes::packed_floats(e);
}

std::int64_t conv_pool_pack_scratch_floats(const ConvPoolExtents& e) {
  return wants_filters_in_lanes(e) ? filters_in_lanes::pack_scratch_floats(e)
                                   : columns_in_lanes::pack_scratch_floats(e);
}

std::int64_t conv_pool_thread_floats(const ConvPoolExtents& e) {
  return wants_filters_in_lanes(e) ? filters_in_lanes::thread_floats(e)
                                   : columns_in_lanes::thread_floats(e);
}

void conv_pool_pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  wants_filters_in_lanes(e) ? filters_in_lanes::pack(e, w, bias, packed)
                            : columns_in_lanes::pack(e, w, bias, packed);
}

void conv_pool_forward(const ConvPoolExtents& e, const float* packed,
                       const ConvPoolImages& images) {
  wants_filters_in_lanes(e) ? filters_in_lanes::forward(e, packed, images)
                            : columns_in_lanes::forward(e, packed, images);
}

}  // namespace kiln::cpu::KILN_ISA
