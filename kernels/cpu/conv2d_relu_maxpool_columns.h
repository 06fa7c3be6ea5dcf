// conv2d_relu_maxpool with columns in lanes: a vector holds kLanes neighbouring windows of one
// filter. x is first split into planes of even and of odd columns; then the left members of the
// windows are one vector and the right members another, and no lane ever moves:
//
//   left  member of window j, tap t: column 2j + t
//   right member of window j, tap t: column 2j + 1 + t
//   column 2j + t stands in plane t mod 2 at j + t/2
//
// Wants Q/2 to be near a multiple of kLanes. For files compiled by kiln_simd_sources only.
//
// packed: for every block of at most kMaxFilters filters the biases, then the packed rows
// [i, c, s, filter]; behind them the tables that split columns and join filters.
// scratch: the bordered picture, where there is a border; the planes [h + 2 pad, parity, c,
// plane_floats] and the sums of their rows; even(p + 1) of every vector of windows and filter; one
// tile of results [k, kLanes] and one of indices.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_rows.h"
#include "kernels/cpu/interleave.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA::columns_in_lanes {

// Filters at once, two accumulators each; the columns of a row take up to six more registers.
constexpr int kMaxFilters = kLanes == 16 ? 6 : 4;

// Half the columns, rounded up to whole vectors. No more: the planes should fit the first-level
// cache.
inline int plane_floats(const ConvPoolExtents& e) {
  return round_up((e.w + 2 * e.pad_w + 1) / 2, kLanes);
}
inline int row_floats(const ConvPoolExtents& e) { return 2 * e.c * plane_floats(e); }
// A shifted load in the last plane reads up to kLanes beyond it.
inline std::int64_t planes_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.h + 2 * e.pad_h} * row_floats(e) + kLanes;
}
inline std::int64_t sums_floats(const ConvPoolExtents& e) {
  return std::int64_t{row_sum_count(e)} * row_floats(e) + kLanes;
}
inline int even_floats(const ConvPoolExtents& e) { return 2 * e.k * round_up(e.q, kLanes); }
inline std::int64_t taps_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.k} * (1 + packed_rows(e) * e.s * e.c);
}
inline std::int64_t packed_floats(const ConvPoolExtents& e) {
  return taps_floats(e) + shuffle_table_count(2 * e.c) + shuffle_table_count(e.k);
}
inline std::int64_t thread_floats(const ConvPoolExtents& e) {
  return (has_border(e) ? bordered_floats(e) : 0) + planes_floats(e) + sums_floats(e) +
         even_floats(e) + 2 * e.k * kLanes;
}

inline void pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  const int taps = e.r * e.s * e.c;
  for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
    const int count = block_count(e.k - first, blocks);
    for (int k = 0; k < count; ++k) *packed++ = bias == nullptr ? 0.0f : bias[first + k];
    for (int i = 0; i < packed_rows(e); ++i)
      for (int c = 0; c < e.c; ++c)
        for (int s = 0; s < e.s; ++s)
          for (int k = 0; k < count; ++k)
            *packed++ = packed_tap(e, w + (first + k) * taps, i, s, c);
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
  for (int h = 0; h < e.h + 2 * e.pad_h; ++h, x += columns * e.c, planes += row_floats(e)) {
    for (int j = 0; j < pairs; j += kLanes)
      split(x + 2 * j * e.c, 2 * e.c, pairs - j < kLanes ? pairs - j : kLanes, table, planes + j,
            stride);
    if (columns % 2 != 0)
      for (int c = 0; c < e.c; ++c) planes[c * stride + pairs] = x[(columns - 1) * e.c + c];
  }
}

// The sums of K filters at the left and at the right members of kLanes windows.
template <int K>
struct Sums {
  Vec left[K] = {}, right[K] = {};
};

// Adds rows of taps. `w` is the first of the rows' taps [i, c, s, K].
template <int S, int K>
inline void add_rows(const ConvPoolExtents& e, const PictureRows& rows, const float* w,
                     Sums<K>& sums) {
  const int stride = plane_floats(e), parity = e.c * stride;
  for (int i = 0; i < rows.count; ++i)
    for (int c = 0; c < e.c; ++c, w += S * K) {
      const float* plane = rows.at + i * rows.step + c * stride;
      Vec v[S + 1];  // v[t]: column 2j + t of the windows j in the lanes
      KILN_UNROLL for (int t = 0; t <= S; ++t) v[t] = load(plane + t % 2 * parity + t / 2);
      KILN_UNROLL for (int s = 0; s < S; ++s) {
        KILN_UNROLL for (int k = 0; k < K; ++k) {  // inside: no sum waits for itself
          const Vec tap = broadcast(w[s * K + k]);
          sums.left[k] = fmadd(tap, v[s], sums.left[k]);
          sums.right[k] = fmadd(tap, v[s + 1], sums.right[k]);
        }
      }
    }
}

// kLanes windows side by side and one block of filters.
struct Block {
  WindowRows rows;
  const float* packed;
  float* even;   // [2 K, kLanes]: even(p + 1), becomes even(p)
  float* y;      // [K, kLanes]
  float* index;  // [K, kLanes], bits of integers
};

template <int K>
inline const float* taps(const ConvPoolExtents& e, const float* packed, int packed_row) {
  return packed + K + packed_row * e.c * e.s * K;
}

template <int S, int K>
void make_even(const ConvPoolExtents& e, const Block& b) {
  Sums<K> sums;
  add_rows<S, K>(e, b.rows.even, taps<K>(e, b.packed, 0), sums);
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    store(b.even + 2 * k * kLanes, sums.left[k]);
    store(b.even + (2 * k + 1) * kLanes, sums.right[k]);
  }
}

// lower = bias - odd - even(p + 1), which add_rows completes.
template <int K>
inline void begin_lower(const Block& b, const Sums<K>& odd, Sums<K>& lower) {
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    const Vec bias = broadcast(b.packed[k]);
    lower.left[k] = bias - odd.left[k] - load(b.even + 2 * k * kLanes);
    lower.right[k] = bias - odd.right[k] - load(b.even + (2 * k + 1) * kLanes);
  }
}

// Keeps upper = even(p) for the windows above and adds bias and odd(p) to it.
template <int K>
inline void keep_even(const Block& b, const Sums<K>& odd, Sums<K>& upper) {
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    const Vec bias = broadcast(b.packed[k]);
    store(b.even + 2 * k * kLanes, upper.left[k]);
    store(b.even + (2 * k + 1) * kLanes, upper.right[k]);
    upper.left[k] += bias + odd.left[k];
    upper.right[k] += bias + odd.right[k];
  }
}

template <int S, int K>
void make_windows(const ConvPoolExtents& e, const Block& b) {
  const int pairs = row_pairs(e);
  Sums<K> odd, lower, upper;
  add_rows<S, K>(e, b.rows.odd, taps<K>(e, b.packed, pairs), odd);
  begin_lower(b, odd, lower);
  add_rows<S, K>(e, b.rows.both, taps<K>(e, b.packed, 2 * pairs), lower);
  add_rows<S, K>(e, b.rows.last_lower, taps<K>(e, b.packed, 3 * pairs), lower);
  add_rows<S, K>(e, b.rows.even, taps<K>(e, b.packed, 0), upper);
  keep_even(b, odd, upper);
  add_rows<S, K>(e, b.rows.last_upper, taps<K>(e, b.packed, 3 * pairs), upper);
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    const Pooled pooled = pool_relu(upper.left[k], upper.right[k], lower.left[k], lower.right[k]);
    store(b.y + k * kLanes, pooled.y);
    __builtin_memcpy(b.index + k * kLanes, &pooled.index, sizeof pooled.index);
  }
}

// For a filter count known at run time, 1..K. Below the last row of windows only even() is made.
template <int S, int K>
void run_block(int count, bool only_even, const ConvPoolExtents& e, const Block& block) {
  if (count == K) return only_even ? make_even<S, K>(e, block) : make_windows<S, K>(e, block);
  if constexpr (K > 1) run_block<S, K - 1>(count, only_even, e, block);
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

// The windows [q, q + kLanes) of row p, all filters, into the tiles y and index.
template <int S>
void run_windows(const ConvPoolExtents& e, const Workspace& t, int p, int q) {
  const int row = row_floats(e);
  const WindowRows rows(e, t.planes + 2 * p * row + q, t.sums + p * row + q, row);
  const float* packed = t.packed;
  for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
    const int count = block_count(e.k - first, blocks);
    run_block<S, kMaxFilters>(count, p == e.p, e,
                              {rows, packed, t.even + 2 * (q * e.k + first * kLanes),
                               t.y + first * kLanes, t.index + first * kLanes});
    packed += count * (1 + packed_rows(e) * e.s * e.c);
    first += count;
  }
}

template <int S>
void forward_image(const ConvPoolExtents& e, const Workspace& t, const float* next_x, float* y,
                   std::uint8_t* index) {
  const int share = e.h * e.w * e.c / e.p;
  for (int p = e.p; p >= 0; --p) {
    if (p < e.p) prefetch(next_x + p * share, share);
    for (int q = 0; q < e.q; q += kLanes) {
      run_windows<S>(e, t, p, q);
      if (p == e.p) continue;
      const int windows = e.q - q < kLanes ? e.q - q : kLanes, at = (p * e.q + q) * e.k;
      join(t.y, e.k, windows, t.join_table, y + at);
      if (index != nullptr) join(t.index, e.k, windows, t.join_table, index + at);
    }
  }
}

inline void forward(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const auto image = e.s == 3 ? forward_image<3> : forward_image<5>;
  float* bordered = images.scratch;
  const Workspace t(e, packed, bordered + (has_border(e) ? bordered_floats(e) : 0));
  const int x_image = e.h * e.w * e.c;
  __builtin_memset(bordered, 0, sizeof(float) * (t.y - bordered));
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
