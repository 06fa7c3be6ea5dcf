// The transforms of kernels/cpu/conv2d_winograd_simd.h, from the points 0, +-a, +-b and infinity
// with a = 3/4 and b = 3/2: every entry of A and B is a float exactly, and rounding errors are half
// those of the usual 1 and 2. Opposite points share their even and odd halves.
#include "kernels/cpu/conv2d_winograd_simd.h"

#include "kernels/cpu/simd_map.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA {
namespace {

constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
// m(x) / x = x^4 - kSum x^2 + kProduct.
constexpr float kSum = kA2 + kB2, kProduct = kA2 * kB2;
// The rows of G are (1, x, x^2) over m'(x): that of 0, of +-a and of +-b.
constexpr float kG0 = 1 / kProduct;
constexpr float kGa = 1 / (2 * kA2 * (kA2 - kB2)), kGb = 1 / (2 * kB2 * (kB2 - kA2));

constexpr int kSide = 6, kOut = 4, kTaps = 3;

inline Vec times(float factor, Vec v) { return broadcast(factor) * v; }
// factor * v + sum
inline Vec plus(float factor, Vec v, Vec sum) { return fmadd(broadcast(factor), v, sum); }

// B^T d
inline void input_side(const Vec (&d)[kSide], Vec (&v)[kSide]) {
  const Vec even_a = plus(-kB2, d[2], d[4]), odd_a = plus(-kB2, d[1], d[3]);
  const Vec even_b = plus(-kA2, d[2], d[4]), odd_b = plus(-kA2, d[1], d[3]);
  v[0] = plus(kProduct, d[0], plus(-kSum, d[2], d[4]));
  v[1] = plus(kA, odd_a, even_a);
  v[2] = plus(-kA, odd_a, even_a);
  v[3] = plus(kB, odd_b, even_b);
  v[4] = plus(-kB, odd_b, even_b);
  v[5] = plus(kProduct, d[1], plus(-kSum, d[3], d[5]));
}

// A^T m
inline void output_side(const Vec (&m)[kSide], Vec (&y)[kOut]) {
  const Vec even_a = m[1] + m[2], odd_a = m[1] - m[2];
  const Vec even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + even_a + even_b;
  y[1] = plus(kB, odd_b, times(kA, odd_a));
  y[2] = plus(kB2, even_b, times(kA2, even_a));
  y[3] = plus(kB3, odd_b, plus(kA3, odd_a, m[5]));
}

// A y
inline void output_grad_side(const Vec (&y)[kOut], Vec (&m)[kSide]) {
  const Vec even_a = plus(kA2, y[2], y[0]), odd_a = plus(kA2, y[3], y[1]);
  const Vec even_b = plus(kB2, y[2], y[0]), odd_b = plus(kB2, y[3], y[1]);
  m[0] = y[0];
  m[1] = plus(kA, odd_a, even_a);
  m[2] = plus(-kA, odd_a, even_a);
  m[3] = plus(kB, odd_b, even_b);
  m[4] = plus(-kB, odd_b, even_b);
  m[5] = y[3];
}

// G g
inline void filter_side(const Vec (&g)[kTaps], Vec (&u)[kSide]) {
  const Vec even_a = times(kGa, plus(kA2, g[2], g[0])), even_b = times(kGb, plus(kB2, g[2], g[0]));
  u[0] = times(kG0, g[0]);
  u[1] = plus(kGa * kA, g[1], even_a);
  u[2] = plus(-kGa * kA, g[1], even_a);
  u[3] = plus(kGb * kB, g[1], even_b);
  u[4] = plus(-kGb * kB, g[1], even_b);
  u[5] = g[2];
}

// G^T u
inline void filter_grad_side(const Vec (&u)[kSide], Vec (&g)[kTaps]) {
  const Vec even_a = times(kGa, u[1] + u[2]), even_b = times(kGb, u[3] + u[4]);
  g[0] = plus(kG0, u[0], even_a + even_b);
  g[1] = plus(kGa * kA, u[1] - u[2], times(kGb * kB, u[3] - u[4]));
  g[2] = plus(kA2, even_a, plus(kB2, even_b, u[5]));
}

// Applies `side` to the columns of an kFrom x kFrom square and then to the rows: kTo x kTo.
template <int kFrom, int kTo, class Side, class Load, class Store>
inline void both_sides(const Side& side, const Load& load_at, const Store& store_at) {
  Vec half[kTo][kFrom];
  KILN_UNROLL
  for (int j = 0; j < kFrom; ++j) {
    Vec column[kFrom], changed[kTo];
    KILN_UNROLL
    for (int i = 0; i < kFrom; ++i) column[i] = load_at(i, j);
    side(column, changed);
    KILN_UNROLL
    for (int i = 0; i < kTo; ++i) half[i][j] = changed[i];
  }
  KILN_UNROLL
  for (int i = 0; i < kTo; ++i) {
    Vec row[kTo];
    side(half[i], row);
    KILN_UNROLL
    for (int j = 0; j < kTo; ++j) store_at(i, j, row[j]);
  }
}

// Where tile `index` begins: the pixel (row, column) of image n may lie outside of it.
struct TilePlace {
  TilePlace(const WinogradTiles& t, std::int64_t index) {
    const std::int64_t of_image = t.tiles_h * t.tiles_w, within = index % of_image;
    row = within / t.tiles_w * kOut + t.first_h;
    column = within % t.tiles_w * kOut + t.first_w;
    offset = ((index / of_image * t.h + row) * t.w + column) * t.channels;
  }
  std::int64_t row, column, offset;
};

constexpr int at_most(std::int64_t value, int most) {
  return value < most ? static_cast<int>(value) : most;
}

// The kSize x kSize pixels of a tile that lie inside the image.
template <int kSize>
struct TilePixels {
  TilePixels(const WinogradTiles& t, const TilePlace& place)
      : row_step(t.w * t.channels),
        channels(t.channels),
        top(place.row < 0 ? at_most(-place.row, kSize) : 0),
        left(place.column < 0 ? at_most(-place.column, kSize) : 0),
        bottom(at_most(t.h - place.row, kSize)),
        right(at_most(t.w - place.column, kSize)) {}
  bool whole() const { return top == 0 && left == 0 && bottom == kSize && right == kSize; }
  bool inside(int i, int j) const { return i >= top && i < bottom && j >= left && j < right; }
  std::int64_t at(int i, int j) const { return i * row_step + j * channels; }

  std::int64_t row_step, channels;
  int top, left, bottom, right;
};

// A tile's pixels to a transformed row.
template <int kSize, class Side, class T>
inline void tile_to_row(const WinogradTiles& t, const Side& side, const T* image,
                        std::int64_t index, const WinogradRows& to, float* row) {
  const TilePlace place(t, index);
  const TilePixels<kSize> pixels(t, place);
  const T* from = image + place.offset;
  const auto transform = [&](const auto& load_at) {
    map_vectors(t.channels, [&](auto lanes, std::int64_t c) {
      both_sides<kSize, kSide>(
          side, [&](int i, int j) { return load_at(lanes, i, j, c); },
          [&](int i, int j, Vec v) { lanes.store(row + (i * kSide + j) * to.slice_step + c, v); });
    });
  };
  if (pixels.whole())
    transform([&](auto lanes, int i, int j, std::int64_t c) {
      return lanes.load(from + pixels.at(i, j) + c);
    });
  else
    transform([&](auto lanes, int i, int j, std::int64_t c) {
      return pixels.inside(i, j) ? lanes.load(from + pixels.at(i, j) + c) : Vec{};
    });
}

}  // namespace

template <class T>
void winograd_input(const WinogradTiles& tiles, const T* image, std::int64_t begin,
                    std::int64_t end, const WinogradRows& to) {
  const auto side = [](const auto& from, auto& changed) { input_side(from, changed); };
  for (std::int64_t index = begin; index < end; ++index)
    tile_to_row<kSide>(tiles, side, image, index, to, to.slices + (index - begin) * to.row_step);
}

template <class T>
void winograd_output_grad(const WinogradTiles& tiles, const T* image, std::int64_t begin,
                          std::int64_t end, const WinogradRows& to) {
  const auto side = [](const auto& from, auto& changed) { output_grad_side(from, changed); };
  for (std::int64_t index = begin; index < end; ++index)
    tile_to_row<kOut>(tiles, side, image, index, to, to.slices + (index - begin) * to.row_step);
}

template <class T>
void winograd_output(const WinogradTiles& tiles, const WinogradRows& from,
                     const WinogradFinish& finish, std::int64_t begin, std::int64_t end, T* image) {
  const auto side = [](const Vec(&m)[kSide], Vec(&y)[kOut]) { output_side(m, y); };
  for (std::int64_t index = begin; index < end; ++index) {
    const TilePlace place(tiles, index);
    const TilePixels<kOut> pixels(tiles, place);
    const float* row = from.slices + (index - begin) * from.row_step;
    T* to = image + place.offset;
    map_vectors(tiles.channels, [&](auto lanes, std::int64_t c) {
      const Vec start = finish.start == nullptr ? Vec{} : lanes.load(finish.start + c);
      both_sides<kSide, kOut>(
          side,
          [&](int i, int j) { return lanes.load(row + (i * kSide + j) * from.slice_step + c); },
          [&](int i, int j, Vec v) {
            if (!pixels.inside(i, j)) return;
            T* at = to + pixels.at(i, j) + c;
            v += start;
            if (finish.add) v += lanes.load(at);
            if (finish.relu) v = Vec{} > v ? Vec{} : v;  // NaN stays NaN
            lanes.store(at, v);
          });
    });
  }
}

template <class T>
void winograd_filter(const T* taps, std::int64_t tap_step, std::int64_t count, float* slices,
                     std::int64_t slice_step) {
  const auto side = [](const Vec(&g)[kTaps], Vec(&u)[kSide]) { filter_side(g, u); };
  map_vectors(count, [&](auto lanes, std::int64_t c) {
    both_sides<kTaps, kSide>(
        side, [&](int i, int j) { return lanes.load(taps + (i * kTaps + j) * tap_step + c); },
        [&](int i, int j, Vec u) { lanes.store(slices + (i * kSide + j) * slice_step + c, u); });
  });
}

void winograd_filter_grad(const float* slices, std::int64_t slice_step, std::int64_t part_count,
                          std::int64_t part_step, std::int64_t count, bool add, float* taps,
                          std::int64_t tap_step) {
  const auto side = [](const Vec(&u)[kSide], Vec(&g)[kTaps]) { filter_grad_side(u, g); };
  map_vectors(count, [&](auto lanes, std::int64_t c) {
    both_sides<kSide, kTaps>(
        side,
        [&](int i, int j) {
          const float* from = slices + (i * kSide + j) * slice_step + c;
          Vec sum = lanes.load(from);
          for (std::int64_t part = 1; part < part_count; ++part)
            sum += lanes.load(from + part * part_step);
          return sum;
        },
        [&](int i, int j, Vec g) {
          float* at = taps + (i * kTaps + j) * tap_step + c;
          lanes.store(at, add ? g + lanes.load(at) : g);
        });
  });
}

template void winograd_input(const WinogradTiles&, const float*, std::int64_t, std::int64_t,
                             const WinogradRows&);
template void winograd_output_grad(const WinogradTiles&, const float*, std::int64_t, std::int64_t,
                                   const WinogradRows&);
template void winograd_output(const WinogradTiles&, const WinogradRows&, const WinogradFinish&,
                              std::int64_t, std::int64_t, float*);
template void winograd_filter(const float*, std::int64_t, std::int64_t, float*, std::int64_t);
template void winograd_input(const WinogradTiles&, const BFloat16*, std::int64_t, std::int64_t,
                             const WinogradRows&);
template void winograd_output_grad(const WinogradTiles&, const BFloat16*, std::int64_t,
                                   std::int64_t, const WinogradRows&);
template void winograd_output(const WinogradTiles&, const WinogradRows&, const WinogradFinish&,
                              std::int64_t, std::int64_t, BFloat16*);
template void winograd_filter(const BFloat16*, std::int64_t, std::int64_t, float*, std::int64_t);

}  // namespace kiln::cpu::KILN_ISA
