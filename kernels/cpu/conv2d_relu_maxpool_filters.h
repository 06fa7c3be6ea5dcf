// conv2d_relu_maxpool with filters in lanes: a vector holds kLanes filters at one place. The four
// members of a window are four vectors; x comes in as scalars, broadcast by the multiply-add itself.
// Wants K to be near a multiple of kLanes. For files compiled by kiln_simd_sources only.
//
// packed: for every block of kLanes filters the bias, then the packed rows [i, s, c]; a vector each,
// zeros where there is no filter.
// scratch: the bordered picture, where there is a border; the sums of its rows; even(p + 1) of every
// place and filter block.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_rows.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA::filters_in_lanes {

using ByteVec = std::uint8_t __attribute__((vector_size(kLanes)));

// Windows side by side: two accumulators each, and enough of them to hide the latency of the
// multiply-add.
constexpr int kMaxWindows = 6;

inline std::int64_t block_floats(const ConvPoolExtents& e) {
  return std::int64_t{kLanes} * (1 + packed_rows(e) * e.s * e.c);
}
inline std::int64_t packed_floats(const ConvPoolExtents& e) {
  return block_count(e.k, kLanes) * block_floats(e);
}
inline std::int64_t sums_floats(const ConvPoolExtents& e) {
  return std::int64_t{row_sum_count(e)} * bordered_row(e);
}
inline std::int64_t thread_floats(const ConvPoolExtents& e) {
  return (has_border(e) ? bordered_floats(e) : 0) + sums_floats(e) +
         std::int64_t{2} * e.q * round_up(e.k, kLanes);
}

inline void pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  const int taps = e.r * e.s * e.c;
  const auto pack_lanes = [&](int first, auto value) {
    for (int lane = 0; lane < kLanes; ++lane)
      *packed++ = first + lane < e.k ? value(first + lane) : 0.0f;
  };
  for (int first = 0; first < e.k; first += kLanes) {
    pack_lanes(first, [&](int k) { return bias == nullptr ? 0.0f : bias[k]; });
    for (int i = 0; i < packed_rows(e); ++i)
      for (int s = 0; s < e.s; ++s)
        for (int c = 0; c < e.c; ++c)
          pack_lanes(first, [&](int k) { return packed_tap(e, w + k * taps, i, s, c); });
  }
}

// Where the results of one window and one block of filters go.
struct WindowTarget {
  float* y;
  std::uint8_t* index;  // or null
  int filter_count;     // of the block, 1..kLanes
};

inline void store_window(const WindowTarget& to, Pooled pooled) {
  const ByteVec bytes = __builtin_convertvector(pooled.index, ByteVec);
  if (to.filter_count == kLanes) {
    store(to.y, pooled.y);
    if (to.index != nullptr) __builtin_memcpy(to.index, &bytes, kLanes);
    return;
  }
  store_first(to.y, pooled.y, to.filter_count);
  if (to.index != nullptr)
    for (int i = 0; i < to.filter_count; ++i) to.index[i] = bytes[i];
}

// Adds rows of taps to the sums of 2 Q neighbouring places. C is the channel count, or 0 where only
// `e` knows it. `w` is the first of the rows' taps.
template <int Q, int C>
inline void add_rows(const ConvPoolExtents& e, const PictureRows& rows, const float* w,
                     Vec (&sum)[2 * Q]) {
  const int channels = C > 0 ? C : e.c, row_taps = e.s * channels;
  const float* x = rows.at;
  for (int r = 0; r < rows.count; ++r, x += rows.step)
    for (int i = 0; i < row_taps; ++i, w += kLanes) {
      const Vec tap = load(w);
      KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) sum[j] =
          fmadd(tap, broadcast(x[j * channels + i]), sum[j]);
    }
}

// One block of windows and of filters.
struct Block {
  WindowRows rows;
  const float* packed;
  float* even;  // [2 Q, kLanes]: even(p + 1), becomes even(p)
  WindowTarget to;

  const float* taps(const ConvPoolExtents& e, int packed_row) const {
    return packed + kLanes + packed_row * e.s * e.c * kLanes;
  }
};

template <int Q, int C>
void make_even(const ConvPoolExtents& e, const Block& b) {
  Vec sum[2 * Q] = {};
  add_rows<Q, C>(e, b.rows.even, b.taps(e, 0), sum);
  KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) store(b.even + j * kLanes, sum[j]);
}

template <int Q, int C>
void make_windows(const ConvPoolExtents& e, const Block& b) {
  const int pairs = row_pairs(e);
  const Vec bias = load(b.packed);
  Vec odd[2 * Q] = {}, lower[2 * Q], upper[2 * Q] = {};
  add_rows<Q, C>(e, b.rows.odd, b.taps(e, pairs), odd);
  KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) lower[j] =
      bias - odd[j] - load(b.even + j * kLanes);
  add_rows<Q, C>(e, b.rows.both, b.taps(e, 2 * pairs), lower);
  add_rows<Q, C>(e, b.rows.last_lower, b.taps(e, 3 * pairs), lower);
  add_rows<Q, C>(e, b.rows.even, b.taps(e, 0), upper);
  KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) {
    store(b.even + j * kLanes, upper[j]);
    upper[j] += bias + odd[j];
  }
  add_rows<Q, C>(e, b.rows.last_upper, b.taps(e, 3 * pairs), upper);
  KILN_UNROLL for (int q = 0; q < Q; ++q) {
    const int at = q * e.k;
    store_window({b.to.y + at, b.to.index == nullptr ? nullptr : b.to.index + at,
                  b.to.filter_count},
                 pool_relu(upper[2 * q], upper[2 * q + 1], lower[2 * q], lower[2 * q + 1]));
  }
}

// For a window count known at run time, 1..Q. Below the last row of windows only even() is made.
template <int Q, int C>
void run_block(int count, bool only_even, const ConvPoolExtents& e, const Block& block) {
  if (count == Q) return only_even ? make_even<Q, C>(e, block) : make_windows<Q, C>(e, block);
  if constexpr (Q > 1) run_block<Q - 1, C>(count, only_even, e, block);
}

template <int C>
void forward_image(const ConvPoolExtents& e, const float* x, const float* sums, float* even,
                   const float* packed, float* y, std::uint8_t* index) {
  const int row = bordered_row(e);
  for (int p = e.p; p >= 0; --p)
    for (int first = 0, blocks = block_count(e.q, kMaxWindows); blocks > 0; --blocks) {
      const int count = block_count(e.q - first, blocks);  // blocks of nearly equal size
      const int corner = 2 * first * e.c;
      const WindowRows rows(e, x + 2 * p * row + corner, sums + p * row + corner, row);
      for (int k = 0; k < e.k; k += kLanes) {
        const int at = (p * e.q + first) * e.k + k;
        const WindowTarget to{y + at, index == nullptr ? nullptr : index + at,
                              e.k - k < kLanes ? e.k - k : kLanes};
        run_block<kMaxWindows, C>(count, p == e.p, e,
                                  {rows, packed + k / kLanes * block_floats(e),
                                   even + 2 * (first * round_up(e.k, kLanes) + k * count), to});
      }
      first += count;
    }
}

inline void forward(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const auto image = e.c == 1   ? forward_image<1>
                     : e.c == 3 ? forward_image<3>
                     : e.c == 6 ? forward_image<6>
                                : forward_image<0>;
  const bool border = has_border(e);
  float* sums = images.scratch + (border ? bordered_floats(e) : 0);
  if (border) __builtin_memset(images.scratch, 0, sizeof(float) * bordered_floats(e));
  for (std::int64_t n = 0; n < images.count; ++n) {
    const float* x = images.x + n * (e.h * e.w * e.c);
    const std::int64_t at = n * (e.p * e.q * e.k);
    if (border) {
      copy_inside_border(e, x, images.scratch);
      x = images.scratch;
    }
    add_row_pairs(e, x, bordered_row(e), sums);
    image(e, x, sums, sums + sums_floats(e), packed, images.y + at,
          images.index == nullptr ? nullptr : images.index + at);
  }
}

}  // namespace kiln::cpu::KILN_ISA::filters_in_lanes
