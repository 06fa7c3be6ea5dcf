// conv2d_relu_maxpool with columns in lanes: a vector holds kLanes neighbouring windows of one
// filter. x is first split into planes of even and of odd columns; then the left members of the
// windows are one vector and the right members another: column 2j + t, seen from window j, stands
// in plane t mod 2 at j + t/2. Only even() of the next window, where right members subtract it,
// wants the lanes moved by one; so the last lane of a vector has no window of its own.
//
// Wants Q to be near a multiple of kLanes - 1. For files compiled by kiln_simd_sources only.
//
// packed: for every block of at most kMaxFilters filters the biases, then for every packed row and
// channel the taps in the order of their use: even and odd columns in turn [pair, 2, filter]; then
// again for every channel both [pair, filter] and the last one [filter]. Behind them the tables
// that split columns and join filters. scratch: the bordered picture, where there is a border; the
// planes [h + 2 pad, parity, c, plane_floats] and the sums of their rows; even(p + 1) of every
// vector of windows and filter; one tile of results [k, kLanes] and one of indices.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_rows.h"
#include "kernels/cpu/interleave.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA::columns_in_lanes {

// Filters at once, two accumulators each.
constexpr int kMaxFilters = 6;
constexpr int kWindows = kLanes - 1;  // windows of a vector

// Half the columns, rounded up to whole vectors. No more: the planes should fit the first-level
// cache.
inline int plane_floats(const ConvPoolExtents& e) {
  return round_up((e.w + 2 * e.pad_w + 1) / 2, kLanes);
}
inline int row_floats(const ConvPoolExtents& e) { return 2 * e.c * plane_floats(e); }
// A shifted load in the last plane reads beyond it: less than two vectors.
inline std::int64_t planes_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.h + 2 * e.pad_h} * row_floats(e) + 2 * kLanes;
}
inline std::int64_t sums_floats(const ConvPoolExtents& e) {
  return std::int64_t{row_sum_count(e)} * row_floats(e) + 2 * kLanes;
}
inline int even_floats(const ConvPoolExtents& e) {
  return 2 * e.k * kLanes * block_count(e.q, kWindows);
}
inline std::int64_t taps_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.k} * (1 + packed_rows(e) * packed_columns(e) * e.c);
}
inline std::int64_t packed_floats(const ConvPoolExtents& e) {
  return taps_floats(e) + shuffle_table_count(2 * e.c) + shuffle_table_count(e.k);
}
inline std::int64_t pack_scratch_floats(const ConvPoolExtents&) { return 0; }
inline std::int64_t thread_floats(const ConvPoolExtents& e) {
  return (has_border(e) ? bordered_floats(e) : 0) + planes_floats(e) + sums_floats(e) +
         even_floats(e) + 2 * e.k * kLanes;
}

// The taps of `count` filters from w on; returns the end of what it wrote.
inline float* pack_filters(const ConvPoolExtents& e, const float* w, int count, float* packed) {
  const int taps = e.r * e.s * e.c, pairs = e.s / 2;
  const auto pack_tap = [&](int i, int j, int c) {
    const PackedTap tap(e, i, j, c);
    for (int k = 0; k < count; ++k) *packed++ = tap.of([&](int at) { return w[k * taps + at]; });
  };
  for (int i = 0; i < packed_rows(e); ++i) {
    for (int c = 0; c < e.c; ++c)
      for (int m = 0; m < pairs; ++m) {
        pack_tap(i, m, c);
        pack_tap(i, pairs + m, c);
      }
    for (int c = 0; c < e.c; ++c)
      for (int j = 2 * pairs; j < packed_columns(e); ++j) pack_tap(i, j, c);
  }
  return packed;
}

inline void pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
    const int count = block_count(e.k - first, blocks);
    for (int k = 0; k < count; ++k) *packed++ = bias == nullptr ? 0.0f : bias[first + k];
    packed = pack_filters(e, w + first * e.r * e.s * e.c, count, packed);
    first += count;
  }
  std::int32_t* tables = reinterpret_cast<std::int32_t*>(packed);
  fill_split_table(2 * e.c, tables);
  fill_join_table(e.k, tables + shuffle_table_count(2 * e.c));
}

// Splits one bordered picture into its planes: a pair of neighbouring columns is 2 C numbers.
inline void split_columns(const ConvPoolExtents& e, const float* x, const std::int32_t* table,
                          float* planes) {
  const int columns = e.w + 2 * e.pad_w, pairs = columns / 2, stride = plane_floats(e);
  const int channels = e.c, rows = e.h + 2 * e.pad_h, row = row_floats(e);
  for (int h = 0; h < rows; ++h, x += columns * channels, planes += row) {
    for (int j = 0; j < pairs; j += kLanes)
      split(x + 2 * j * channels, 2 * channels, pairs - j < kLanes ? pairs - j : kLanes, table,
            planes + j, stride);
    if (columns % 2 != 0)
      for (int c = 0; c < channels; ++c)
        planes[c * stride + pairs] = x[(columns - 1) * channels + c];
  }
}

// K filters at the left and at the right members of the windows of one vector.
template <int K>
struct Places {
  Vec left[K] = {}, right[K] = {};
};

// Planes of one row: those of the even columns of every channel, then those of the odd ones.
struct Planes {
  int channels;
  std::ptrdiff_t stride;  // floats of a plane

  std::ptrdiff_t parity() const { return channels * stride; }
};

// Column 2j + t of the windows j in the lanes; `plane` is the even plane of a channel.
inline Vec load_column(const float* plane, std::ptrdiff_t parity, int t) {
  return load(plane + t % 2 * parity + t / 2);
}

template <int K>
KILN_INLINE void add_tap(const float* w, Vec x, Vec (&sum)[K]) {
  KILN_UNROLL for (int k = 0; k < K; ++k) sum[k] = fmadd(broadcast(w[k]), x, sum[k]);
}

template <int S, int K>
KILN_INLINE void add_even_odd(const Planes& x, const PictureRows& rows, const float* taps,
                              Vec (&even)[K], Vec (&odd)[K]) {
  const int row_taps = packed_count(S) * x.channels * K;
  for (int i = 0; i < rows.count; ++i) {
    const float *plane = rows.at[i], *w = taps + rows.tap_row[i] * row_taps;
    for (int c = 0; c < x.channels; ++c, plane += x.stride)
      KILN_UNROLL for (int m = 0; m < S / 2; ++m, w += 2 * K) {
        add_tap<K>(w, load_column(plane, x.parity(), 2 * m), even);
        add_tap<K>(w + K, load_column(plane, x.parity(), 2 * m + 1), odd);
      }
  }
}

template <int S, int K>
KILN_INLINE void add_both_and_last(const Planes& x, const PictureRows& rows, const float* taps,
                                   Places<K>& z) {
  static_assert(S % 2 == 1);
  const int row_taps = packed_count(S) * x.channels * K;
  for (int i = 0; i < rows.count; ++i) {
    const float* plane = rows.at[i];
    const float* w = taps + rows.tap_row[i] * row_taps + S / 2 * 2 * x.channels * K;
    for (int c = 0; c < x.channels; ++c, plane += x.stride, w += K) {
      KILN_UNROLL for (int m = 0; m < S / 2; ++m, w += K) add_tap<K>(
          w, load_column(plane, x.parity(), 2 * m + 1) + load_column(plane, x.parity(), 2 * m + 2),
          z.right);
      add_tap<K>(w, load_column(plane, x.parity(), S - 1), z.left);
      add_tap<K>(w, load_column(plane, x.parity(), S), z.right);
    }
  }
}

// Inline it is four copies in every caller, and 4 to 5 % faster; a small program does without where
// 16 registers hold the sums.
#if defined(KILN_ISA_avx512) || !defined(KILN_SMALL)
#define KILN_CORRELATE KILN_INLINE
#else
#define KILN_CORRELATE [[gnu::noinline]] inline
#endif

// The sums over the rows at the members of one vector of windows.
template <int S, int K>
KILN_CORRELATE Places<K> correlate(const Planes& x, const float* taps, const PictureRows& rows) {
  Vec even[K] = {}, odd[K] = {};
  add_even_odd<S, K>(x, rows, taps, even, odd);
  Places<K> z;
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    z.left[k] = even[k] - odd[k];
    z.right[k] = odd[k] - next_lane(even[k]);
  }
  add_both_and_last<S, K>(x, rows, taps, z);
  return z;
}

// One vector of windows and one block of filters.
struct Block {
  const WindowRows& rows;
  Planes planes;
  const float* packed;
  float* even;   // [2 K, kLanes]: even(p + 1), becomes even(p)
  float* y;      // [K, kLanes]
  float* index;  // [K, kLanes], bits of integers
};

template <int K>
inline void store_even(const Block& b, const Places<K>& z) {
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    store(b.even + 2 * k * kLanes, z.left[k]);
    store(b.even + (2 * k + 1) * kLanes, z.right[k]);
  }
}

template <int S, int K>
void make_even(const Block& b) {
  store_even<K>(b, correlate<S, K>(b.planes, b.packed + K, b.rows.even));
}

template <int S, int K>
void make_windows(const Block& b) {
  const float* taps = b.packed + K;
  const Places<K> odd = correlate<S, K>(b.planes, taps, b.rows.odd);
  Places<K> lower = correlate<S, K>(b.planes, taps, b.rows.lower);
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    lower.left[k] -= odd.left[k] + load(b.even + 2 * k * kLanes);
    lower.right[k] -= odd.right[k] + load(b.even + (2 * k + 1) * kLanes);
  }
  const Places<K> even = correlate<S, K>(b.planes, taps, b.rows.even);
  store_even<K>(b, even);
  const Places<K> last = correlate<S, K>(b.planes, taps, b.rows.last_upper);
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    const Pooled pooled = pool_relu(even.left[k] + odd.left[k] + last.left[k],
                                    even.right[k] + odd.right[k] + last.right[k], lower.left[k],
                                    lower.right[k], broadcast(b.packed[k]));
    store(b.y + k * kLanes, pooled.y);
    __builtin_memcpy(b.index + k * kLanes, &pooled.index, sizeof pooled.index);
  }
}

// For a filter count known at run time, 1..K. Below the last row of windows only even() is made.
template <int S, int K>
void run_block(int count, bool only_even, const Block& block) {
  if (count == K) return only_even ? make_even<S, K>(block) : make_windows<S, K>(block);
  if constexpr (K > 1) run_block<S, K - 1>(count, only_even, block);
}

// Asks for memory that will be read soon: a share of the next picture with every row of windows.
inline void prefetch(const float* from, int count) {
  for (int i = 0; i < count; i += 16) __builtin_prefetch(from + i);
}

// What one thread works with.
struct Workspace {
  const float* packed;
  const std::int32_t *split_table, *join_table;
  float *planes, *sums, *even, *y, *index;

  Workspace(const ConvPoolExtents& e, const float* packed_filters, float* planes_at)
      : packed(packed_filters),
        split_table(reinterpret_cast<const std::int32_t*>(packed + taps_floats(e))),
        join_table(split_table + shuffle_table_count(2 * e.c)),
        planes(planes_at),
        sums(planes + planes_floats(e)),
        even(sums + sums_floats(e)),
        y(even + even_floats(e)),
        index(y + e.k * kLanes) {}
};

// The windows [q, q + kWindows) of row p, all filters, into the tiles y and index.
template <int S>
void run_windows(const ConvPoolExtents& e, const Workspace& t, int p, int q) {
  const int row = row_floats(e);
  const float *x = t.planes + 2 * p * row + q, *sums = t.sums + p * row + q;
  const WindowRows rows(e, x, sums, row, x, sums);
  const float* packed = t.packed;
  for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
    const int count = block_count(e.k - first, blocks);
    run_block<S, kMaxFilters>(count, p == e.p,
                              {rows,
                               {e.c, plane_floats(e)},
                               packed,
                               t.even + 2 * (q / kWindows * e.k + first) * kLanes,
                               t.y + first * kLanes,
                               t.index + first * kLanes});
    packed += count * (1 + packed_rows(e) * packed_columns(e) * e.c);
    first += count;
  }
}

template <int S>
void forward_image(const ConvPoolExtents& e, const Workspace& t, const float* next_x, float* y,
                   std::uint8_t* index) {
  const int share = e.h * e.w * e.c / e.p;
  for (int p = e.p; p >= 0; --p) {
    if (p < e.p) prefetch(next_x + p * share, share);
    for (int q = 0; q < e.q; q += kWindows) {
      run_windows<S>(e, t, p, q);
      if (p == e.p) continue;
      const int windows = e.q - q < kWindows ? e.q - q : kWindows, at = (p * e.q + q) * e.k;
      join(t.y, e.k, windows, t.join_table, y + at);
      if (index != nullptr) join(t.index, e.k, windows, t.join_table, index + at);
    }
  }
}

// Lanes that no picture writes but loads reach: behind the planes and the sums, and beside the
// columns where these fill no whole vectors.
inline void zero_unwritten(const ConvPoolExtents& e, const Workspace& t) {
  const bool whole = e.w + 2 * e.pad_w == 2 * plane_floats(e);
  float* planes = whole ? t.sums - 2 * kLanes : t.planes;
  float* sums = whole ? t.even - 2 * kLanes : t.sums;
  __builtin_memset(planes, 0, sizeof(float) * (t.sums - planes));
  __builtin_memset(sums, 0, sizeof(float) * (t.even - sums));
}

inline void forward(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const auto image = e.s == 3 ? forward_image<3> : forward_image<5>;
  float* bordered = images.scratch;
  const std::int64_t border_floats = has_border(e) ? bordered_floats(e) : 0;
  const Workspace t(e, packed, bordered + border_floats);
  const int x_image = e.h * e.w * e.c;
  __builtin_memset(bordered, 0, sizeof(float) * border_floats);
  zero_unwritten(e, t);
  for (std::int64_t n = 0; n < images.count; ++n) {
    const float* x = images.x + n * x_image;
    const float* next_x = n + 1 < images.count ? x + x_image : x;
    const std::int64_t at = n * (e.p * e.q * e.k);
    if (has_border(e)) copy_inside_border(e, x, bordered);
    split_columns(e, has_border(e) ? bordered : x, t.split_table, t.planes);
    add_row_pairs(e, t.planes, row_floats(e), t.sums);
    image(e, t, next_x, images.y + at, images.index == nullptr ? nullptr : images.index + at);
  }
}

}  // namespace kiln::cpu::KILN_ISA::columns_in_lanes
