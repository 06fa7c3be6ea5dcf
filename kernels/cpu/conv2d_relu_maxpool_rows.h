// The convolution of conv2d_relu_maxpool by a fast algorithm: a whole 2x2 window for 64 products
// instead of 100, with 5x5 filters. For files compiled by kiln_simd_sources only.
//
// In one dimension. Neighbouring windows p want the two results
//
//   z(2p)     = sum_r w[r] x[2p + r]
//   z(2p + 1) = sum_r w[r] x[2p + 1 + r]
//
// Taps are taken in M = R / 2 pairs; where R is odd the last one stays alone. With
//
//   even(p) = sum_m w[2m]               x[2p + 2m]
//   odd(p)  = sum_m w[2m + 1]           x[2p + 1 + 2m]
//   both(p) = sum_m (w[2m] + w[2m + 1]) (x[2p + 1 + 2m] + x[2p + 2 + 2m])
//
// multiplying out both(p) gives the four products of each pair: two of them are wanted in
// z(2p + 1), one is odd(p) and one is even(p + 1), the next window's own. So
//
//   z(2p)     = even(p) + odd(p)               + w[R - 1] x[2p + R - 1]    the last term where R
//   z(2p + 1) = both(p) - odd(p) - even(p + 1) + w[R - 1] x[2p + R]        is odd
//
// and R = 5 costs eight products instead of ten, R = 3 five instead of six. It is the 2-parallel
// fast FIR filter of signal processing, Winograd's F(2, 2) with the points 0, 1 and infinity. What
// enters z(2p + 1) is exactly what the plain sum reads, so that a NaN reaches no other window.
//
// In two dimensions x[h] is a row of the picture, w[r] a row of the filter, and each "product" of
// the two is the same thing again along the columns, summed over channels. Rows of windows are
// visited from the last one up, so that even(p + 1) is known. The sums of picture rows are made
// once a picture.
//
// Rounding: several short sums instead of a long one make up for the differences. On CIFAR-10
// pictures (64 of them, 3 -> 6, 5x5) the root mean square error of z in f32 was 6.2e-8, against
// 5.3e-8 of the plain sum and a largest |z| of 1.4.
#pragma once

#include "kernels/cpu/bordered_image.h"
#include "kernels/cpu/simd.h"

// The inner sums must see their accumulators in registers.
#define KILN_INLINE [[gnu::always_inline]] inline

namespace kiln::cpu::KILN_ISA {

inline int row_pairs(const ConvPoolExtents& e) { return e.r / 2; }

// Sums X[2i + 1] + X[2i + 2] of rows that the windows of a picture want: i = 0 .. count - 1.
inline int row_sum_count(const ConvPoolExtents& e) {
  return row_pairs(e) > 0 ? e.p + row_pairs(e) - 1 : 0;
}

// Packed filter: rows those of even(), odd() and both(), then the last one; columns alike.
inline int packed_count(int taps) { return 3 * (taps / 2) + taps % 2; }
inline int packed_rows(const ConvPoolExtents& e) { return packed_count(e.r); }
inline int packed_columns(const ConvPoolExtents& e) { return packed_count(e.s); }

// Taps of odd columns are packed with the opposite sign, so that odd() comes out negative: z(2p) is
// even() - odd() then and z(2p + 1) begins with odd() - even(p + 1), a subtraction each.
inline bool is_negative(int taps, int packed) {
  return packed >= taps / 2 && packed < taps / 2 * 2;
}

// The one or two of `taps` taps whose sum is packed tap i: first and last, the same where it is
// one.
struct TapRange {
  int first, last;

  TapRange(int taps, int i) {
    const int pairs = taps / 2;
    first = i < pairs ? 2 * i : i < 2 * pairs ? 2 * (i - pairs) + 1 : 2 * (i - 2 * pairs);
    last = i < 2 * pairs || first == taps - 1 ? first : first + 1;
  }
};

// Tap (i, j) of channel c of a packed filter.
class PackedTap {
 public:
  PackedTap(const ConvPoolExtents& e, int i, int j, int c)
      : rows_(e.r, i),
        columns_(e.s, j),
        negative_(is_negative(e.s, j)),
        row_(e.s * e.c),
        column_(e.c),
        channel_(c) {}

  // tap(i) is element i of a filter [r, s, c]: a number, or a vector of several filters' numbers.
  template <class Tap>
  auto of(const Tap& tap) const {
    auto sum = decltype(tap(0)){};
    for (int r = rows_.first; r <= rows_.last; ++r)
      for (int s = columns_.first; s <= columns_.last; ++s)
        sum += tap(r * row_ + s * column_ + channel_);
    return negative_ ? -sum : sum;
  }

 private:
  TapRange rows_, columns_;
  bool negative_;
  int row_, column_, channel_;
};

// sums[i] = X[2i + 1] + X[2i + 2] for rows of `row` floats that follow one another.
inline void add_row_pairs(const ConvPoolExtents& e, const float* x, int row, float* sums) {
  const int count = row_sum_count(e);
  for (int i = 0; i < count; ++i, sums += row) {
    const float *upper = x + (2 * i + 1) * row, *lower = upper + row;
    for (int j = 0; j < row; ++j) sums[j] = upper[j] + lower[j];
  }
}

// Picture rows that meet packed filter rows one by one: at most the R / 2 of a set and the last.
struct PictureRows {
  static constexpr int kMax = 4;  // R <= 7

  int count = 0;
  const float* at[kMax];
  const float*
      column_sums[kMax];  // the same place among the sums of columns; filters in lanes only
  int up[kMax];           // floats back to the same row of the windows above
  int tap_row[kMax];      // packed

  void add(const float* x, const float* x_columns, int floats_up, int packed_row) {
    at[count] = x;
    column_sums[count] = x_columns;
    up[count] = floats_up;
    tap_row[count++] = packed_row;
  }
};

// The rows of one row of windows, and the way from there to the row of windows above. `x` is row 2p
// of the picture, `sums` row p of the sums of rows; `row` floats a row. `x_columns` and
// `sums_columns`: their sums of columns, or the same again where nobody asks.
struct WindowRows {
  PictureRows even, odd, lower, last_upper;  // lower: both() and the last row of z(2p + 1)

  WindowRows(const ConvPoolExtents& e, const float* x, const float* sums, int row,
             const float* x_columns, const float* sums_columns) {
    const int pairs = row_pairs(e), last = e.r - 1;
    for (int m = 0; m < pairs; ++m) {
      const int even_row = 2 * m * row, odd_row = even_row + row;
      even.add(x + even_row, x_columns + even_row, 2 * row, m);
      odd.add(x + odd_row, x_columns + odd_row, 2 * row, pairs + m);
      lower.add(sums + m * row, sums_columns + m * row, row, 2 * pairs + m);
    }
    if (e.r % 2 == 0) return;
    last_upper.add(x + last * row, x_columns + last * row, 2 * row, 3 * pairs);
    lower.add(x + e.r * row, x_columns + e.r * row, 2 * row, 3 * pairs);
  }
};

// Rows of windows at once. A tap that was loaded serves them all, and sums that do not wait for one
// another keep the multiply-adds busy; 32 registers hold the sums of two rows, 16 those of one.
#if defined(KILN_ISA_avx512)
constexpr int kRowsAtOnce = 2;
#else
constexpr int kRowsAtOnce = 1;
#endif

struct Pooled {
  Vec y;
  IntVec index;
};

// max(max of the four + bias, 0) and the place of the maximum, in every lane. Rounding is monotone:
// the bias may as well come after the maximum, and then two sums that it would round to one number
// are still told apart. A comparison with NaN is false, so NaN needs a look
// of its own: NaN + anything is NaN.
#if defined(KILN_ISA_avx512)
inline Pooled pool_relu(Vec z0, Vec z1, Vec z2, Vec z3, Vec bias) {
  const __mmask16 right_of_top = _mm512_cmp_ps_mask(z1, z0, _CMP_GT_OQ),
                  right_of_bottom = _mm512_cmp_ps_mask(z3, z2, _CMP_GT_OQ);
  const Vec top = _mm512_max_ps(z1, z0), bottom = _mm512_max_ps(z3, z2);
  const __m512i in_top = _mm512_maskz_set1_epi32(right_of_top, 1),
                in_bottom = _mm512_mask_set1_epi32(_mm512_set1_epi32(2), right_of_bottom, 3);
  const __m512i index =
      _mm512_mask_mov_epi32(in_top, _mm512_cmp_ps_mask(bottom, top, _CMP_GT_OQ), in_bottom);
  Vec y = _mm512_max_ps(Vec{}, _mm512_max_ps(bottom, top) + bias);
  const __mmask16 has_nan =
      _mm512_cmp_ps_mask(z0, z1, _CMP_UNORD_Q) | _mm512_cmp_ps_mask(z2, z3, _CMP_UNORD_Q);
  if (has_nan != 0) [[unlikely]]
    y = _mm512_mask_mov_ps(y, has_nan, (z0 + z1) + (z2 + z3));
  return {y, reinterpret_cast<IntVec>(index)};
}
#else
inline Pooled pool_relu(Vec z0, Vec z1, Vec z2, Vec z3, Vec bias) {
  const Vec top = max(z1, z0), bottom = max(z3, z2), all = max(bottom, top) + bias;
  const IntVec in_top = z1 > z0 ? IntVec{} + 1 : IntVec{};
  const IntVec in_bottom = z3 > z2 ? IntVec{} + 3 : IntVec{} + 2;
  const IntVec index = bottom > top ? in_bottom : in_top;
  const Vec kept = 0.0f > all ? Vec{} : all;
  const IntVec has_nan = (z0 != z0) | (z1 != z1) | (z2 != z2) | (z3 != z3);
  return {has_nan ? (z0 + z1) + (z2 + z3) : kept, index};
}
#endif

constexpr int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
constexpr int block_count(int value, int unit) { return (value + unit - 1) / unit; }

}  // namespace kiln::cpu::KILN_ISA
