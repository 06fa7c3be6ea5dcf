// Two ways to put a convolution with few channels into vector lanes, so that a 2x2 window is pooled
// inside the registers that the convolution left it in and the wide activations never exist.
//
//   filters in lanes   A vector holds kLanes filters at one place. The four members of a window are
//                      four vectors; x comes in as scalars, broadcast by the multiply-add itself.
//                      Wants K to be near a multiple of kLanes.
//   columns in lanes   A vector holds kLanes neighbouring windows of one filter. x is first split
//                      into planes of even and of odd columns; then the left members of the windows
//                      are one vector and the right members another, and no lane ever moves:
//
//                        left  member of window j, tap t: column 2j + t
//                        right member of window j, tap t: column 2j + 1 + t
//                        column 2j + t stands in plane t mod 2 at j + t/2
//
//                      Wants Q/2 to be near a multiple of kLanes.
//
// Both sum bias, then taps in a fixed order.
#include "kernels/cpu/conv2d_relu_maxpool_simd.h"

#include "kernels/cpu/bordered_image.h"
#include "kernels/cpu/interleave.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA {
namespace {

using ByteVec = std::uint8_t __attribute__((vector_size(kLanes)));

// Registers set the block: 32 vectors with AVX-512, 16 otherwise; four accumulators a window.
constexpr int kMaxWindows = kLanes == 16 ? 6 : 3;  // windows side by side, filters in lanes
constexpr int kMaxFilters = kLanes == 16 ? 6 : 2;  // filters at once, columns in lanes

constexpr int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
constexpr int block_count(int value, int unit) { return (value + unit - 1) / unit; }

bool filters_in_lanes(const ConvPoolExtents& e) {
  if (e.s != 3 && e.s != 5) return true;  // the other way is compiled for these widths only
  // Share of lanes at work: k / round_up(k) against q / round_up(q).
  return e.k * round_up(e.q, kLanes) >= e.q * round_up(e.k, kLanes);
}

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

// ---- filters in lanes -------------------------------------------------------------------------
//
// packed: for every block of kLanes filters the bias, then the taps in the order r, s, c; a vector
// each, zeros where there is no filter.

std::int64_t filter_block_floats(const ConvPoolExtents& e) {
  return std::int64_t{kLanes} * (1 + e.r * e.s * e.c);
}

void pack_filters(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  const int taps = e.r * e.s * e.c;
  for (int first = 0; first < e.k; first += kLanes)
    for (int tap = -1; tap < taps; ++tap)
      for (int lane = 0; lane < kLanes; ++lane, ++packed) {
        const int k = first + lane;
        *packed = k >= e.k          ? 0.0f
                  : tap >= 0        ? w[std::int64_t{k} * taps + tap]
                  : bias == nullptr ? 0.0f
                                    : bias[k];
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

// Q windows side by side whose corner in the (bordered) image is `x`; `row` floats from row to row.
// C is the channel count, or 0 where only `e` knows it.
template <int Q, int C>
void convolve_filters(const ConvPoolExtents& e, const float* x, int row, const float* packed,
                      const WindowTarget& to) {
  const int channels = C > 0 ? C : e.c, row_taps = e.s * channels;
  const Vec bias = load(packed);
  const float* w = packed + kLanes;
  Vec top[2 * Q], bottom[2 * Q];
  KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) top[j] = bottom[j] = bias;
  for (int r = 0; r < e.r; ++r, x += row)
    for (int i = 0; i < row_taps; ++i, w += kLanes) {
      const Vec tap = load(w);
      KILN_UNROLL for (int j = 0; j < 2 * Q; ++j) {
        top[j] = fmadd(tap, broadcast(x[j * channels + i]), top[j]);
        bottom[j] = fmadd(tap, broadcast(x[row + j * channels + i]), bottom[j]);
      }
    }
  KILN_UNROLL for (int q = 0; q < Q; ++q) {
    const int at = q * e.k;
    store_window({to.y + at, to.index == nullptr ? nullptr : to.index + at, to.filter_count},
                 pool_relu(top[2 * q], top[2 * q + 1], bottom[2 * q], bottom[2 * q + 1]));
  }
}

// convolve_filters for a window count known at run time, 1..Q.
template <int Q, int C>
void convolve_filters(int count, const ConvPoolExtents& e, const float* x, int row,
                      const float* packed, const WindowTarget& to) {
  if (count == Q) return convolve_filters<Q, C>(e, x, row, packed, to);
  if constexpr (Q > 1) convolve_filters<Q - 1, C>(count, e, x, row, packed, to);
}

template <int C>
void forward_filters_image(const ConvPoolExtents& e, const float* x, const float* packed, float* y,
                           std::uint8_t* index) {
  const int row = bordered_row(e);
  for (int p = 0; p < e.p; ++p)
    for (int first = 0, blocks = block_count(e.q, kMaxWindows); blocks > 0; --blocks) {
      const int count = block_count(e.q - first, blocks);  // blocks of nearly equal size
      const float* corner = x + 2 * p * row + 2 * first * e.c;
      for (int k = 0; k < e.k; k += kLanes) {
        const int at = (p * e.q + first) * e.k + k;
        convolve_filters<kMaxWindows, C>(
            count, e, corner, row, packed + k / kLanes * filter_block_floats(e),
            {y + at, index == nullptr ? nullptr : index + at, e.k - k < kLanes ? e.k - k : kLanes});
      }
      first += count;
    }
}

void forward_filters(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const auto image = e.c == 1   ? forward_filters_image<1>
                     : e.c == 3 ? forward_filters_image<3>
                     : e.c == 6 ? forward_filters_image<6>
                                : forward_filters_image<0>;
  const bool border = has_border(e);
  if (border) __builtin_memset(images.scratch, 0, sizeof(float) * bordered_floats(e));
  for (std::int64_t n = 0; n < images.count; ++n) {
    const float* x = images.x + n * (e.h * e.w * e.c);
    const std::int64_t at = n * (e.p * e.q * e.k);
    if (border) copy_inside_border(e, x, images.scratch);
    image(e, border ? images.scratch : x, packed, images.y + at,
          images.index == nullptr ? nullptr : images.index + at);
  }
}

// ---- columns in lanes -------------------------------------------------------------------------
//
// packed: for every block of at most kMaxFilters filters the biases, then the taps in the order
// c, r, s, filter; behind them the tables that split columns and join filters.
// scratch: the bordered image, where there is a border; the planes [h + 2 pad, parity, c,
// plane_floats]; one tile of results [k, kLanes] and one of indices.

// Half the columns, rounded up to whole vectors. No more: the planes should fit the first-level
// cache.
int plane_floats(const ConvPoolExtents& e) { return round_up((e.w + 2 * e.pad_w + 1) / 2, kLanes); }
std::int64_t planes_floats(const ConvPoolExtents& e) {
  // A shifted load in the last plane reads up to kLanes beyond it.
  return std::int64_t{e.h + 2 * e.pad_h} * e.c * 2 * plane_floats(e) + kLanes;
}
std::int64_t taps_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.k} * (1 + e.r * e.s * e.c);
}

void pack_columns(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
    const int count = block_count(e.k - first, blocks);
    for (int k = 0; k < count; ++k) *packed++ = bias == nullptr ? 0.0f : bias[first + k];
    for (int c = 0; c < e.c; ++c)
      for (int r = 0; r < e.r; ++r)
        for (int s = 0; s < e.s; ++s)
          for (int k = 0; k < count; ++k)
            *packed++ = w[((std::int64_t{first + k} * e.r + r) * e.s + s) * e.c + c];
    first += count;
  }
  std::int32_t* tables = reinterpret_cast<std::int32_t*>(packed);
  fill_split_table(2 * e.c, tables);
  fill_join_table(e.k, tables + shuffle_table_count(2 * e.c));
}

// Splits one bordered image into its planes: a pair of neighbouring columns is 2 C numbers.
void split_columns(const ConvPoolExtents& e, const float* x, const std::int32_t* table,
                   float* planes) {
  const int columns = e.w + 2 * e.pad_w, pairs = columns / 2, stride = plane_floats(e);
  for (int h = 0; h < e.h + 2 * e.pad_h; ++h, x += columns * e.c, planes += 2 * e.c * stride) {
    for (int j = 0; j < pairs; j += kLanes)
      split(x + 2 * j * e.c, 2 * e.c, pairs - j < kLanes ? pairs - j : kLanes, table, planes + j,
            stride);
    if (columns % 2 != 0)
      for (int c = 0; c < e.c; ++c) planes[c * stride + pairs] = x[(columns - 1) * e.c + c];
  }
}

// Adds one row of taps of K filters to their left and right sums. v[t] is column 2j + t of the
// windows j in the lanes.
template <int S, int K>
inline void add_taps(const Vec (&v)[S + 1], const float* w, Vec (&left)[K], Vec (&right)[K]) {
  KILN_UNROLL for (int s = 0; s < S; ++s) {
    KILN_UNROLL for (int k = 0; k < K; ++k) {  // inside: the next sum never waits for the last one
      const Vec tap = broadcast(w[s * K + k]);
      left[k] = fmadd(tap, v[s], left[k]);
      right[k] = fmadd(tap, v[s + 1], right[k]);
    }
  }
}

// The next rows reuse these taps. A compiler that sees it keeps 30 broadcast taps and spills the
// sums instead; loading them again is free. So it must forget what memory held.
inline void forget_memory() { asm volatile("" ::: "memory"); }

template <int S>
inline void load_columns(const float* plane, int parity, Vec (&v)[S + 1]) {
  KILN_UNROLL for (int t = 0; t <= S; ++t) v[t] = load(plane + t % 2 * parity + t / 2);
}

struct Tile {
  float* y;      // [K, kLanes]
  float* index;  // [K, kLanes], bits of integers
};

// kLanes windows side by side, K filters; `plane` is the even plane of the windows' top row and of
// channel 0, at their first column. Row i of the image meets tap row i of the top members and tap
// row i - 1 of the bottom ones.
template <int S, int K>
void convolve_columns(const ConvPoolExtents& e, const float* plane, const float* packed,
                      const Tile& to) {
  const int stride = plane_floats(e), parity = e.c * stride, row = 2 * parity;
  Vec z0[K], z1[K], z2[K], z3[K], v[S + 1];
  KILN_UNROLL for (int k = 0; k < K; ++k) z0[k] = z1[k] = z2[k] = z3[k] = broadcast(packed[k]);
  const float* w = packed + K;
  for (int c = 0; c < e.c; ++c, plane += stride) {
    const float* at = plane;
    forget_memory();
    load_columns<S>(at, parity, v);
    add_taps<S, K>(v, w, z0, z1);
    for (int r = 1; r < e.r; ++r) {
      forget_memory();
      load_columns<S>(at += row, parity, v);
      add_taps<S, K>(v, w, z2, z3);
      forget_memory();
      add_taps<S, K>(v, w += K * S, z0, z1);
    }
    forget_memory();
    load_columns<S>(at += row, parity, v);
    add_taps<S, K>(v, w, z2, z3);
    w += K * S;
  }
  KILN_UNROLL for (int k = 0; k < K; ++k) {
    const Pooled pooled = pool_relu(z0[k], z1[k], z2[k], z3[k]);
    store(to.y + k * kLanes, pooled.y);
    __builtin_memcpy(to.index + k * kLanes, &pooled.index, sizeof pooled.index);
  }
}

// convolve_columns for a filter count known at run time, 1..K.
template <int S, int K>
void convolve_columns(int count, const ConvPoolExtents& e, const float* plane, const float* packed,
                      const Tile& to) {
  if (count == K) return convolve_columns<S, K>(e, plane, packed, to);
  if constexpr (K > 1) convolve_columns<S, K - 1>(count, e, plane, packed, to);
}

// Asks for memory that will be read soon: a share of the next image with every row of windows.
inline void prefetch(const float* from, int count) {
  for (int i = 0; i < count; i += 16) __builtin_prefetch(from + i);
}

template <int S>
void forward_columns_image(const ConvPoolExtents& e, const float* planes, const float* packed,
                           const std::int32_t* table, const Tile& tile, const float* next_x,
                           float* y, std::uint8_t* index) {
  const int stride = plane_floats(e), share = e.h * e.w * e.c / e.p;
  for (int p = 0; p < e.p; ++p) {
    prefetch(next_x + p * share, share);
    for (int q = 0; q < e.q; q += kLanes) {
      const float* plane = planes + 2 * p * e.c * 2 * stride + q;
      const float* w = packed;
      for (int first = 0, blocks = block_count(e.k, kMaxFilters); blocks > 0; --blocks) {
        const int count = block_count(e.k - first, blocks);
        convolve_columns<S, kMaxFilters>(count, e, plane, w,
                                         {tile.y + first * kLanes, tile.index + first * kLanes});
        w += count * (1 + e.r * e.s * e.c);
        first += count;
      }
      const int windows = e.q - q < kLanes ? e.q - q : kLanes, at = (p * e.q + q) * e.k;
      join(tile.y, e.k, windows, table, y + at);
      if (index != nullptr) join(tile.index, e.k, windows, table, index + at);
    }
  }
}

void forward_columns(const ConvPoolExtents& e, const float* packed, const ConvPoolImages& images) {
  const auto image = e.s == 3 ? forward_columns_image<3> : forward_columns_image<5>;
  const auto* split_table = reinterpret_cast<const std::int32_t*>(packed + taps_floats(e));
  const std::int32_t* join_table = split_table + shuffle_table_count(2 * e.c);
  float* bordered = images.scratch;
  float* planes = bordered + (has_border(e) ? bordered_floats(e) : 0);
  float* tile = planes + planes_floats(e);
  const int x_image = e.h * e.w * e.c;
  __builtin_memset(bordered, 0, sizeof(float) * (tile - bordered));
  for (std::int64_t n = 0; n < images.count; ++n) {
    const float* x = images.x + n * x_image;
    const float* next_x = n + 1 < images.count ? x + x_image : x;
    const std::int64_t at = n * (e.p * e.q * e.k);
    if (has_border(e)) copy_inside_border(e, x, bordered);
    split_columns(e, has_border(e) ? bordered : x, split_table, planes);
    image(e, planes, packed, join_table, {tile, tile + e.k * kLanes}, next_x, images.y + at,
          images.index == nullptr ? nullptr : images.index + at);
  }
}

}  // namespace

std::int64_t conv_pool_packed_floats(const ConvPoolExtents& e) {
  return filters_in_lanes(e)
             ? block_count(e.k, kLanes) * filter_block_floats(e)
             : taps_floats(e) + shuffle_table_count(2 * e.c) + shuffle_table_count(e.k);
}

std::int64_t conv_pool_thread_floats(const ConvPoolExtents& e) {
  const std::int64_t bordered = has_border(e) ? bordered_floats(e) : 0;
  return filters_in_lanes(e) ? bordered : bordered + planes_floats(e) + 2 * e.k * kLanes;
}

void conv_pool_pack(const ConvPoolExtents& e, const float* w, const float* bias, float* packed) {
  filters_in_lanes(e) ? pack_filters(e, w, bias, packed) : pack_columns(e, w, bias, packed);
}

void conv_pool_forward(const ConvPoolExtents& e, const float* packed,
                       const ConvPoolImages& images) {
  filters_in_lanes(e) ? forward_filters(e, packed, images) : forward_columns(e, packed, images);
}

}  // namespace kiln::cpu::KILN_ISA
