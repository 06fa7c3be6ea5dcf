// conv2d_relu_maxpool with filters in lanes: a vector holds kLanes filters at one place. The four
// members of a window are four vectors; x comes in as scalars, broadcast by the multiply-add
// itself. Wants K to be near a multiple of kLanes. For files compiled by kiln_simd_sources only.
//
// packed: for every block of kLanes filters the bias, then for every packed row the taps in the
// order of their use: even and odd columns in turn [pair, c, 2], both [pair, c], the last one [c];
// a vector each, zeros where there is no filter. scratch: the bordered picture, where there is a
// border; the sums of its rows; the sums of the columns of both; even(p + 1) of every place and
// filter block.
#pragma once

#include "kernels/cpu/conv2d_relu_maxpool_rows.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA::filters_in_lanes {

using ByteVec = std::uint8_t __attribute__((vector_size(kLanes)));

// Windows side by side: two accumulators each, and enough of them to hide the latency of the
// multiply-add.
constexpr int kMaxWindows = 6;

inline std::int64_t block_floats(const ConvPoolExtents& e) {
  return std::int64_t{kLanes} * (1 + packed_rows(e) * packed_columns(e) * e.c);
}
inline std::int64_t packed_floats(const ConvPoolExtents& e) {
  return block_count(e.k, kLanes) * block_floats(e);
}
inline std::int64_t pack_scratch_floats(const ConvPoolExtents& e) {
  return std::int64_t{kLanes} * e.r * e.s * e.c;
}
inline std::int64_t sums_floats(const ConvPoolExtents& e) {
  return std::int64_t{row_sum_count(e)} * bordered_row(e);
}
inline std::int64_t even_floats(const ConvPoolExtents& e) {
  return std::int64_t{2} * e.q * round_up(e.k, kLanes);
}
inline std::int64_t thread_floats(const ConvPoolExtents& e) {
  return (has_border(e) ? 2 : 1) * bordered_floats(e) + 2 * sums_floats(e) + even_floats(e);
}

// The packed rows of the filters `lanes` [r, s, c, kLanes].
inline void pack_block(const ConvPoolExtents& e, const float* lanes, float* packed) {
  const int pairs = e.s / 2;
  const auto vector = [&](int at) { return load(lanes + at * kLanes); };
  const auto pack_tap = [&](int i, int j, int c) {
    store(packed, PackedTap(e, i, j, c).of(vector));
    packed += kLanes;
  };
  for (int i = 0; i < packed_rows(e); ++i) {
    for (int m = 0; m < pairs; ++m)
      for (int c = 0; c < e.c; ++c) {
        pack_tap(i, m, c);
        pack_tap(i, pairs + m, c);
      }
    for (int j = 2 * pairs; j < packed_columns(e); ++j)
      for (int c = 0; c < e.c; ++c) pack_tap(i, j, c);
  }
}

inline void pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  const int taps = e.r * e.s * e.c;
  float* lanes = packed + packed_floats(e);
  for (int first = 0; first < e.k; first += kLanes, packed += block_floats(e)) {
    const int count = e.k - first < kLanes ? e.k - first : kLanes;
    store(packed, bias == nullptr ? Vec{} : load_first(bias + first, count));
    for (int tap = 0; tap < taps; ++tap)
      for (int lane = 0; lane < kLanes; ++lane)
        lanes[tap * kLanes + lane] = lane < count ? w[(first + lane) * taps + tap] : 0.0f;
    pack_block(e, lanes, packed + kLanes);
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

// Q neighbouring windows in P rows of windows, row 0 the lowest: the left and the right place of
// each.
template <int P, int Q>
struct Places {
  Vec left[P][Q] = {}, right[P][Q] = {};
};

// Where the taps of the columns of a packed row begin. C is the channel count, or 0 where only `e`
// knows it, here and below.
template <int C>
inline const float* row_taps(const ConvPoolExtents& e, const float* taps, int packed_row) {
  return taps + packed_row * packed_columns(e) * (C > 0 ? C : e.c) * kLanes;
}

// sum[p][j] += tap * the number of window j, `column` floats apart, in row p, `up` floats apart.
template <int P, int Q>
KILN_INLINE void add_tap(Vec tap, const float* x, int column, int up, Vec (&sum)[P][Q]) {
  KILN_UNROLL for (int p = 0; p < P; ++p) KILN_UNROLL for (int j = 0; j < Q; ++j) sum[p][j] =
      fmadd(tap, broadcast(x[j * column - p * up]), sum[p][j]);
}

template <int P, int Q, int C>
KILN_INLINE void add_even_odd(const ConvPoolExtents& e, const PictureRows& rows, const float* taps,
                              Vec (&even)[P][Q + 1], Vec (&odd)[P][Q]) {
  const int channels = C > 0 ? C : e.c, column = 2 * channels;
  for (int r = 0; r < rows.count; ++r) {
    const float *x = rows.at[r], *w = row_taps<C>(e, taps, rows.tap_row[r]);
    for (int m = 0; m < e.s / 2; ++m, x += column)
      for (int c = 0; c < channels; ++c, w += 2 * kLanes) {
        add_tap(load(w), x + c, column, rows.up[r], even);
        add_tap(load(w + kLanes), x + channels + c, column, rows.up[r], odd);
      }
  }
}

template <int P, int Q, int C>
KILN_INLINE void add_both_and_last(const ConvPoolExtents& e, const PictureRows& rows,
                                   const float* taps, Places<P, Q>& z) {
  const int channels = C > 0 ? C : e.c, column = 2 * channels, pairs = e.s / 2;
  for (int r = 0; r < rows.count; ++r) {
    const float* w = row_taps<C>(e, taps, rows.tap_row[r]) + 2 * pairs * channels * kLanes;
    const float* sums = rows.column_sums[r];
    const int up = rows.up[r];
    for (int m = 0; m < pairs; ++m, sums += column)
      for (int c = 0; c < channels; ++c, w += kLanes)
        add_tap(load(w), sums + c, column, up, z.right);
    if (e.s % 2 == 0) continue;
    const float* x = rows.at[r] + (e.s - 1) * channels;
    for (int c = 0; c < channels; ++c, w += kLanes) {
      add_tap(load(w), x + c, column, up, z.left);
      add_tap(load(w), x + channels + c, column, up, z.right);
    }
  }
}

// The sums over the rows at the places of Q windows in P rows. Out of line: it is called five times
// for every row of windows, and its results are few beside its multiply-adds.
template <int P, int Q, int C>
[[gnu::noinline]] Places<P, Q> correlate_channels(const ConvPoolExtents& e, const float* taps,
                                                  const PictureRows& rows) {
  Vec even[P][Q + 1] = {}, odd[P][Q] = {};
  add_even_odd<P, Q, C>(e, rows, taps, even, odd);
  Places<P, Q> z;
  KILN_UNROLL for (int p = 0; p < P; ++p) KILN_UNROLL for (int j = 0; j < Q; ++j) {
    z.left[p][j] = even[p][j] - odd[p][j];
    z.right[p][j] = odd[p][j] - even[p][j + 1];
  }
  add_both_and_last<P, Q, C>(e, rows, taps, z);
  return z;
}

template <int P, int Q>
inline Places<P, Q> correlate(const ConvPoolExtents& e, const float* taps,
                              const PictureRows& rows) {
#if !defined(KILN_ISA_baseline)
  if (e.c == 1) return correlate_channels<P, Q, 1>(e, taps, rows);
  if (e.c == 3) return correlate_channels<P, Q, 3>(e, taps, rows);
  if (e.c == 6) return correlate_channels<P, Q, 6>(e, taps, rows);
#endif
  return correlate_channels<P, Q, 0>(e, taps, rows);
}

// One block of windows and of filters, in one row of windows or in several.
struct Block {
  const WindowRows& rows;
  const float* packed;
  float* even;      // [2 Q, kLanes]: even(p + 1), becomes even() of the highest row
  WindowTarget to;  // of the lowest row
  int result_row;   // elements from one row's results to the next, upwards

  Vec bias() const { return load(packed); }
  const float* taps() const { return packed + kLanes; }
};

// even() of row p of P, for the row below.
template <int P, int Q>
KILN_INLINE void store_even(const Block& b, const Places<P, Q>& z, int p) {
  KILN_UNROLL for (int j = 0; j < Q; ++j) {
    store(b.even + 2 * j * kLanes, z.left[p][j]);
    store(b.even + (2 * j + 1) * kLanes, z.right[p][j]);
  }
}

template <int Q>
void make_even(const ConvPoolExtents& e, const Block& b) {
  store_even(b, correlate<1, Q>(e, b.taps(), b.rows.even), 0);
}

template <int P, int Q>
void make_windows(const ConvPoolExtents& e, const Block& b) {
  const auto odd = correlate<P, Q>(e, b.taps(), b.rows.odd);
  auto lower = correlate<P, Q>(e, b.taps(), b.rows.lower);
  const auto even = correlate<P, Q>(e, b.taps(), b.rows.even);
  KILN_UNROLL for (int p = 0; p < P; ++p) KILN_UNROLL for (int j = 0; j < Q; ++j) {
    const Vec left = p > 0 ? even.left[p - 1][j] : load(b.even + 2 * j * kLanes);
    const Vec right = p > 0 ? even.right[p - 1][j] : load(b.even + (2 * j + 1) * kLanes);
    lower.left[p][j] -= odd.left[p][j] + left;
    lower.right[p][j] -= odd.right[p][j] + right;
  }
  store_even(b, even, P - 1);
  const auto last = correlate<P, Q>(e, b.taps(), b.rows.last_upper);
  KILN_UNROLL for (int p = 0; p < P; ++p) KILN_UNROLL for (int q = 0; q < Q; ++q) {
    const std::ptrdiff_t at = q * e.k - p * b.result_row;
    store_window(
        {b.to.y + at, b.to.index == nullptr ? nullptr : b.to.index + at, b.to.filter_count},
        pool_relu(even.left[p][q] + odd.left[p][q] + last.left[p][q],
                  even.right[p][q] + odd.right[p][q] + last.right[p][q], lower.left[p][q],
                  lower.right[p][q], b.bias()));
  }
}

// For a window count known at run time, 1..Q, and `row_count` rows of windows: none, which is below
// the last one, where only even() is made; one; or kRowsAtOnce.
template <int Q>
void run_block(int window_count, int row_count, const ConvPoolExtents& e, const Block& block) {
  if (window_count == Q) {
    if (row_count == 0) return make_even<Q>(e, block);
    if (row_count == 1) return make_windows<1, Q>(e, block);
    return make_windows<kRowsAtOnce, Q>(e, block);
  }
  if constexpr (Q > 1) run_block<Q - 1>(window_count, row_count, e, block);
}

// A bordered picture and what is made of it once.
struct Picture {
  const float *x, *sums, *x_columns, *sums_columns;
};

// `row_count` rows of windows from row p upwards.
inline void run_rows(const ConvPoolExtents& e, const Picture& x, float* even, const float* packed,
                     int p, int row_count, float* y, std::uint8_t* index) {
  const int row = bordered_row(e);
  for (int first = 0, blocks = block_count(e.q, kMaxWindows); blocks > 0; --blocks) {
    const int count = block_count(e.q - first, blocks);  // blocks of nearly equal size
    const int corner = 2 * first * e.c, upper = 2 * p * row + corner, sum = p * row + corner;
    const WindowRows rows(e, x.x + upper, x.sums + sum, row, x.x_columns + upper,
                          x.sums_columns + sum);
    for (int k = 0; k < e.k; k += kLanes) {
      const int at = (p * e.q + first) * e.k + k;
      const WindowTarget to{y + at, index == nullptr ? nullptr : index + at,
                            e.k - k < kLanes ? e.k - k : kLanes};
      run_block<kMaxWindows>(
          count, row_count, e,
          {rows, packed + k / kLanes * block_floats(e),
           even + 2 * (first * round_up(e.k, kLanes) + k * count), to, e.q * e.k});
    }
    first += count;
  }
}

inline void forward_image(const ConvPoolExtents& e, const Picture& x, float* even,
                          const float* packed, float* y, std::uint8_t* index) {
  run_rows(e, x, even, packed, e.p, 0, y, index);
  for (int p = e.p - 1, rows = 0; p >= 0; p -= rows) {
    rows = p + 1 < kRowsAtOnce ? 1 : kRowsAtOnce;
    run_rows(e, x, even, packed, p, rows, y, index);
  }
}

// sums[i] = column i + 1 plus column i + 2 of rows that follow one another; only those of even i
// that stay within their row mean anything.
inline void add_column_pairs(const ConvPoolExtents& e, const float* x, std::int64_t floats,
                             float* sums) {
  for (std::int64_t i = 0; i < floats - 2 * e.c; ++i) sums[i] = x[i + e.c] + x[i + 2 * e.c];
}

inline void forward(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const bool border = has_border(e);
  float* x_columns = images.scratch + (border ? bordered_floats(e) : 0);
  float* sums = x_columns + bordered_floats(e);
  float* sums_columns = sums + sums_floats(e);
  if (border) __builtin_memset(images.scratch, 0, sizeof(float) * bordered_floats(e));
  for (std::int64_t n = 0; n < images.count; ++n) {
    const float* x = images.x + n * (e.h * e.w * e.c);
    const std::int64_t at = n * (e.p * e.q * e.k);
    if (border) {
      copy_inside_border(e, x, images.scratch);
      x = images.scratch;
    }
    add_row_pairs(e, x, bordered_row(e), sums);
    add_column_pairs(e, x, bordered_floats(e), x_columns);
    add_column_pairs(e, sums, sums_floats(e), sums_columns);
    forward_image(e, {x, sums, x_columns, sums_columns}, sums_columns + sums_floats(e), packed,
                  images.y + at, images.index == nullptr ? nullptr : images.index + at);
  }
}

}  // namespace kiln::cpu::KILN_ISA::filters_in_lanes
