// The convolution's rows in the order of a fast algorithm: both rows of a 2x2 window for less than
// two sums. For files compiled by kiln_simd_sources only.
//
// Let X[h] be row h of the bordered picture and w[r] row r of a filter, and let w[r] * X[h] stand
// for the sum of their products over columns and channels. The upper and the lower row of windows p
// want
//
//   z(2p)     = bias + sum_r w[r] * X[2p + r]
//   z(2p + 1) = bias + sum_r w[r] * X[2p + 1 + r]
//
// Rows of the filter are taken in M = R / 2 pairs; where R is odd the last one stays alone. With
//
//   even(p) = sum_m w[2m]              * X[2p + 2m]
//   odd(p)  = sum_m w[2m + 1]          * X[2p + 1 + 2m]
//   both(p) = sum_m (w[2m] + w[2m + 1]) * (X[2p + 1 + 2m] + X[2p + 2 + 2m])
//
// multiplying out both(p) gives the four products of each pair, two of which are wanted below, one
// is odd(p) and one is even(p + 1), the next windows' own:
//
//   z(2p)     = bias + even(p) + odd(p)                    + last * X[2p + R - 1]
//   z(2p + 1) = bias + both(p) - odd(p) - even(p + 1)      + last * X[2p + R]
//
// So R = 5 costs eight rows of multiplications instead of ten, R = 3 five instead of six. The price:
// the sums X[2i + 1] + X[2i + 2] are made once a picture; windows are visited from the last row up,
// so that even(p + 1) is known; and the differences round about twice as far as the plain sum. The
// rows that enter z(2p + 1) are exactly those that the plain sum reads: a NaN reaches no other
// window. It is the 2-parallel fast FIR filter of signal processing, which is Winograd's F(2, 2)
// with the points 0, 1 and infinity.
#pragma once

#include "kernels/cpu/bordered_image.h"
#include "kernels/cpu/simd.h"

namespace kiln::cpu::KILN_ISA {

inline int row_pairs(const ConvPoolExtents& e) { return e.r / 2; }
inline bool has_last_row(const ConvPoolExtents& e) { return e.r % 2 != 0; }

// Rows X[2i + 1] + X[2i + 2] that the windows of a picture want: i = 0 .. count - 1.
inline int row_sum_count(const ConvPoolExtents& e) {
  return row_pairs(e) > 0 ? e.p + row_pairs(e) - 1 : 0;
}

// Packed filter rows: those of even(), odd() and both(), then the last one.
inline int packed_rows(const ConvPoolExtents& e) { return 3 * row_pairs(e) + e.r % 2; }

// Tap (s, c) of packed row i of the filter w [r, s, c].
inline float packed_tap(const ConvPoolExtents& e, const float* w, int i, int s, int c) {
  const int pairs = row_pairs(e), m = pairs > 0 ? i % pairs : 0;
  const auto tap = [&](int r) { return w[(r * e.s + s) * e.c + c]; };
  if (i >= 3 * pairs) return tap(e.r - 1);
  if (i < pairs) return tap(2 * m);
  if (i < 2 * pairs) return tap(2 * m + 1);
  return tap(2 * m) + tap(2 * m + 1);
}

// sums[i] = X[2i + 1] + X[2i + 2] for rows of `row` floats that follow one another.
inline void add_row_pairs(const ConvPoolExtents& e, const float* x, int row, float* sums) {
  for (int i = 0; i < row_sum_count(e); ++i, sums += row) {
    const float *upper = x + (2 * i + 1) * row, *lower = upper + row;
    for (int j = 0; j < row; ++j) sums[j] = upper[j] + lower[j];
  }
}

// Picture rows that meet filter rows one by one: `at` the first, `step` floats from one to the next.
struct PictureRows {
  const float* at;
  int step;
  int count;
};

// The rows of one row of windows. `x` is row 2p of the picture, `sums` row p of the sums; `row`
// floats a row.
struct WindowRows {
  PictureRows even, odd, both, last_upper, last_lower;

  WindowRows(const ConvPoolExtents& e, const float* x, const float* sums, int row)
      : even{x, 2 * row, row_pairs(e)},
        odd{x + row, 2 * row, row_pairs(e)},
        both{sums, row, row_pairs(e)},
        last_upper{x + (e.r - 1) * row, row, e.r % 2},
        last_lower{x + e.r * row, row, e.r % 2} {}
};

struct Pooled {
  Vec y;
  IntVec index;
};

// max(max of the four, 0) and the place of the maximum, in every lane. A comparison with NaN is
// false, so NaN needs a look of its own: NaN + anything is NaN.
inline Pooled pool_relu(Vec z0, Vec z1, Vec z2, Vec z3) {
  const Vec top = max(z1, z0), bottom = max(z3, z2), all = max(bottom, top);
  const IntVec in_top = z1 > z0 ? IntVec{} + 1 : IntVec{};
  const IntVec in_bottom = z3 > z2 ? IntVec{} + 3 : IntVec{} + 2;
  const IntVec index = bottom > top ? in_bottom : in_top;
  const Vec kept = 0.0f > all ? Vec{} : all;
  const IntVec has_nan = (z0 != z0) | (z1 != z1) | (z2 != z2) | (z3 != z3);
  return {has_nan ? (z0 + z1) + (z2 + z3) : kept, index};
}

constexpr int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
constexpr int block_count(int value, int unit) { return (value + unit - 1) / unit; }

}  // namespace kiln::cpu::KILN_ISA
