// The gradients of the fused op as sums over the live windows alone.
//
// A window and filter k with gradient g, whose maximum stands at (a, b) of the window, adds
//
//   to dw[k]  g times the patch of x under the filter:  R rows of S*C floats, each contiguous
//   to dx     g times w[k], laid over the same patch
//
// Both are one loop: acc[row][i] += g * source[offset + row * stride + i], for many (offset, g),
// with all of acc in registers:
//
//   dw[k]  the entries are the live windows of filter k; the source is the image, the offset says
//          where the patch begins; R x S*C sums.
//   dx     the entries are the live filters of one window; the source is the filters, the offset
//          says which one and where in the window its maximum stands. The patches of the four
//          places (a, b) differ by a row and a column, so the sums are the window's whole
//          footprint, R+1 rows of (S+1)*C floats, and the filters stand between zeros:
//
//            row 0      0 ...  0                      one more such row after the last filter
//            row 1..R   C zeros, S*C taps, zeros      rows padded to whole vectors
//
//          Reading from row 1-a and column (1-b)*C lays the taps on their place and zeros around.
#include "kernels/cpu/bordered_image.h"
#include "kernels/cpu/conv2d_relu_maxpool_simd.h"
#include "kernels/cpu/live_windows.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA {
namespace {

// Sums that the registers hold beside g and a vector of the source.
#if defined(KILN_ISA_avx512)
constexpr int kMaxSums = 30;
#else
constexpr int kMaxSums = 13;
#endif

constexpr int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
int dw_row(const ConvPoolExtents& e) { return round_up(e.s * e.c, kLanes); }
int dx_row(const ConvPoolExtents& e) { return round_up((e.s + 1) * e.c, kLanes); }

// A vector of the patches. With AVX-512 there are two widths: patches begin anywhere, so nearly
// every full vector crosses a cache line and every second half one does. A core with full-width
// load ports takes the full ones, whose multiply-adds are half as many; one that splits them anyway
// takes the halves. The bits are the same: a sum's terms come in the order of the entries.
#if defined(KILN_ISA_avx512)
using HalfVec = float __attribute__((vector_size(32)));
inline HalfVec multiply_add(HalfVec a, HalfVec b, HalfVec c) { return _mm256_fmadd_ps(a, b, c); }
#else
using HalfVec = Vec;  // there is one width
#endif
inline Vec multiply_add(Vec a, Vec b, Vec c) { return fmadd(a, b, c); }

template <class V>
inline constexpr int kLanesOf = static_cast<int>(sizeof(V) / sizeof(float));

template <class V>
inline V load_patch(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// to[row][i] += sum over the entries of g * source[offset + row * source_row + i], for Rows rows of
// Columns vectors.
template <class V, int Rows, int Columns>
void add_patches(Entries entries, const float* source, int source_row, float* to, int to_row) {
  V sum[Rows][Columns] = {};
  for (int n = 0; n < entries.count; ++n) {
    const V g = entries.g[n] - V{};
    const float* at = source + entries.offset[n];
    KILN_UNROLL for (int i = 0; i < Rows; ++i, at += source_row) {
      KILN_UNROLL for (int j = 0; j < Columns; ++j) sum[i][j] =
          multiply_add(g, load_patch<V>(at + j * kLanesOf<V>), sum[i][j]);
    }
  }
  KILN_UNROLL for (int i = 0; i < Rows; ++i) {
    KILN_UNROLL for (int j = 0; j < Columns; ++j) {
      float* at = to + i * to_row + j * kLanesOf<V>;
      const V total = load_patch<V>(at) + sum[i][j];
      __builtin_memcpy(at, &total, sizeof total);
    }
  }
}

using AddPatches = void (*)(Entries, const float*, int, float*, int);

template <class V, int Rows, int Columns>
constexpr AddPatches tile() {
  if constexpr (Rows * Columns <= kMaxSums) return add_patches<V, Rows, Columns>;
  return nullptr;  // more sums than registers
}

#define KILN_TILES(rows)                                                               \
  {                                                                                    \
    tile<V, rows, 1>(), tile<V, rows, 2>(), tile<V, rows, 3>(), tile<V, rows, 4>(),    \
        tile<V, rows, 5>(), tile<V, rows, 6>(), tile<V, rows, 7>(), tile<V, rows, 8>() \
  }
// [rows - 1][columns - 1]; a patch has at most R + 1 = 8 rows.
template <class V>
constexpr AddPatches kTiles[8][8] = {KILN_TILES(1), KILN_TILES(2), KILN_TILES(3), KILN_TILES(4),
                                     KILN_TILES(5), KILN_TILES(6), KILN_TILES(7), KILN_TILES(8)};
#undef KILN_TILES

constexpr int least(int a, int b) { return a < b ? a : b; }

// Patches of `rows` rows of `floats` floats and no padding.
struct Patches {
  int rows, floats;
  int source_row, to_row;
  bool halves;

  // add_patches by one width, cut into tiles that fit the registers.
  void add_by(const AddPatches (&tiles)[8][8], int lanes, Entries entries, const float* source,
              float* to) const {
    const int columns = round_up(floats, lanes) / lanes;
    const int tile_columns = least(columns, 8), tile_rows = least(rows, kMaxSums / tile_columns);
    for (int i = 0; i < rows; i += tile_rows)
      for (int j = 0; j < columns; j += tile_columns)
        tiles[least(tile_rows, rows - i) - 1][least(tile_columns, columns - j) - 1](
            entries, source + i * source_row + j * lanes, source_row, to + i * to_row + j * lanes,
            to_row);
  }
  void add(Entries entries, const float* source, float* to) const {
    constexpr int kFull = kLanesOf<Vec>, kHalf = kLanesOf<HalfVec>;
    if (halves)
      add_by(kTiles<HalfVec>, kHalf, entries, source, to);
    else
      add_by(kTiles<Vec>, kFull, entries, source, to);
  }
};

// dbias_lanes [k, kLanes]: partial sums of dbias.
void add_dw(const ConvPoolExtents& e, bool halves, const float* bordered_x, const LiveWindows& live,
            float* dw, float* dbias_lanes) {
  const Patches patches{e.r, e.s * e.c, bordered_row(e), dw_row(e), halves};
  for (int k = 0; k < e.k; ++k) {
    const Entries entries = live.by_filter(k);
    Vec g = load(dbias_lanes + k * kLanes);
    for (int i = 0; i < entries.count; i += kLanes)
      g += load_first(entries.g + i, least(kLanes, entries.count - i));
    store(dbias_lanes + k * kLanes, g);
    patches.add(entries, bordered_x, dw + k * e.r * dw_row(e));
  }
}

// bordered_dx is zero at the start.
void add_dx(const ConvPoolExtents& e, bool halves, const float* packed, const LiveWindows& live,
            float* bordered_dx) {
  const Patches patches{e.r + 1, (e.s + 1) * e.c, dx_row(e), bordered_row(e), halves};
  for (int p = 0, window = 0; p < e.p; ++p)
    for (int q = 0; q < e.q; ++q, ++window)
      patches.add(live.by_window(window), packed,
                  bordered_dx + 2 * p * bordered_row(e) + 2 * q * e.c);
}

// dx (+)= the inside of the border.
void write_dx(const ConvPoolExtents& e, const float* bordered_dx, bool add, float* dx) {
  const float* from = bordered_dx + border_offset(e);
  const int row = e.w * e.c;
  for (int h = 0; h < e.h; ++h, from += bordered_row(e), dx += row)
    if (add)
      for (int i = 0; i < row; ++i) dx[i] += from[i];
    else
      __builtin_memcpy(dx, from, sizeof(float) * row);
}

// Floats of a bordered image; the last patch reads and adds zeros up to a row of sums beyond it.
std::int64_t image_floats(const ConvPoolExtents& e) {
  return bordered_floats(e) + dx_row(e) + 2 * kLanes;
}

int filter_floats(const ConvPoolExtents& e) { return (e.r + 1) * dx_row(e); }
std::int64_t filters_floats(const ConvPoolExtents& e) {
  return std::int64_t{e.k} * filter_floats(e) + dx_row(e) + e.c;
}

}  // namespace

int conv_pool_dw_row(const ConvPoolExtents& e) { return dw_row(e); }

std::int64_t conv_pool_grad_packed_floats(const ConvPoolExtents& e) {
  return filters_floats(e) + LiveWindows::table_floats(e);
}

std::int64_t conv_pool_grad_thread_floats(const ConvPoolExtents& e) {
  return 2 * image_floats(e) + e.k * kLanes + LiveWindows::scratch_floats(e);
}

void conv_pool_grad_pack(const ConvPoolExtents& e, const float* w, float* packed) {
  LiveWindows::fill_table(e, reinterpret_cast<std::int32_t*>(packed + filters_floats(e)));
  if (w == nullptr) return;
  __builtin_memset(packed, 0, sizeof(float) * filters_floats(e));
  const int row_taps = e.s * e.c;
  for (int k = 0; k < e.k; ++k)
    for (int r = 0; r < e.r; ++r, w += row_taps)
      __builtin_memcpy(packed + k * filter_floats(e) + (1 + r) * dx_row(e) + e.c, w,
                       sizeof(float) * row_taps);
}

void conv_pool_grad(const ConvPoolExtents& e, const float* packed, const ConvPoolGradImages& g) {
  const int x_image = e.h * e.w * e.c, y_image = e.p * e.q * e.k;
  float* bordered_x = g.scratch;
  float* bordered_dx = bordered_x + image_floats(e);
  float* dbias_lanes = bordered_dx + image_floats(e);
  const PlaceOffsets in_filter{{dx_row(e) + e.c, dx_row(e), e.c, 0}};
  LiveWindows live(e, reinterpret_cast<const std::int32_t*>(packed + filters_floats(e)),
                   filter_floats(e), in_filter, dbias_lanes + e.k * kLanes);
  __builtin_memset(bordered_x, 0, sizeof(float) * image_floats(e));
  __builtin_memset(dbias_lanes, 0, sizeof(float) * e.k * kLanes);
  for (std::int64_t n = 0; n < g.count; ++n) {
    const float *y = g.y + n * y_image, *dy = g.dy + n * y_image;
    const std::uint8_t* index = g.index + n * y_image;
    g.dx == nullptr ? live.list_by_filter(y, index, dy) : live.list(y, index, dy);
    // Without a border x can be read and dx written where they lie. Not in the last image: patches
    // are read and sums written in whole vectors, beyond the image's end. What they add there is
    // zeros, to an image of this call that is cleared later.
    const bool in_place = !has_border(e) && (g.count - n - 1) * x_image >= kLanes;
    const float* x = g.x + n * x_image;
    if (!in_place) copy_inside_border(e, x, bordered_x);
    add_dw(e, g.half_vectors, in_place ? x : bordered_x, live, g.sums, dbias_lanes);
    if (g.dx == nullptr) continue;
    float* dx = g.dx + n * x_image;
    if (in_place && !g.add_to_dx) {
      __builtin_memset(dx, 0, sizeof(float) * x_image);
      add_dx(e, g.half_vectors, packed, live, dx);
      continue;
    }
    __builtin_memset(bordered_dx, 0, sizeof(float) * image_floats(e));
    add_dx(e, g.half_vectors, packed, live, bordered_dx);
    write_dx(e, bordered_dx, g.add_to_dx, dx);
  }
  float* dbias = g.sums + e.k * e.r * dw_row(e);
  for (int k = 0; k < e.k; ++k) dbias[k] += sum(load(dbias_lanes + k * kLanes));
}

}  // namespace kiln::cpu::KILN_ISA
