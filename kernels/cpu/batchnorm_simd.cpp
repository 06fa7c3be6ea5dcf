#include "kernels/cpu/batchnorm_simd.h"

#include <type_traits>

#include "kernels/cpu/simd_gelu.h"

// Narrow rows whose length is no multiple of the vector are read `group` at a time as one wide row
// (group * channels is a multiple of kLanes), with the channels' constants repeated and sums folded
// at the end; rows left over are taken singly.
namespace kiln::cpu::KILN_ISA {
namespace {

constexpr std::int64_t kWidest = 64 * 16;  // floats of the widest repeated row

inline std::int64_t group_of(std::int64_t channels) {
  if (channels > 64) return 1;
  std::int64_t group = 1;
  while (group * channels % kLanes != 0) ++group;
  return group;
}

inline void repeat(const float* from, std::int64_t channels, std::int64_t group, float* to) {
  for (std::int64_t i = 0; i < group * channels; ++i) to[i] = from[i % channels];
}

// Rows that are summed in float before a sum moves on to double: 64 KiB, so that the second look
// at them comes from the level-2 cache, and a float sum has at most 1,024 terms in four chains.
inline std::int64_t block_rows(std::int64_t channels) {
  const std::int64_t rows = 16384 / channels;
  return rows < 4 ? 4 : rows > 1024 ? 1024 : rows;
}

// Sum of f(row) over rows [0, rows) in four chains.
template <class F>
inline Vec chained_sum(std::int64_t rows, const F& f) {
  Vec a{}, b{}, c{}, d{};
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    a += f(row);
    b += f(row + 1);
    c += f(row + 2);
    d += f(row + 3);
  }
  for (; row < rows; ++row) a += f(row);
  return (a + b) + (c + d);
}

// Merges the moments (mean, m2) of `count` values into those of `before` values (Chan et al.).
struct Merge {
  double share, weight;
  Merge(double before, double count)
      : share(count / (before + count)), weight(before * count / (before + count)) {}
  void operator()(double& mean, double& m2, double new_mean, double new_m2) const {
    const double difference = new_mean - mean;
    mean += difference * share;
    m2 += new_m2 + difference * difference * weight;
  }
};

// The corrected two-pass algorithm per block: with any m near the mean, mean = m + s1/n and
// m2 = s2 - s1^2/n, where s1 and s2 are sums of x - m and of its square.
template <class T>
void wide_moments(const T* x, std::int64_t rows, std::int64_t width, double* mean, double* m2) {
  for (std::int64_t c = 0; c < width; ++c) mean[c] = m2[c] = 0;
  const std::int64_t step = block_rows(width);
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = rows - first < step ? rows - first : step;
    const auto n = static_cast<double>(count);
    const Merge merge(static_cast<double>(first), n);
    map_vectors(width, [&](auto lanes, std::int64_t c) {
      const T* from = x + first * width + c;
      const auto at = [&](std::int64_t row) { return lanes.load(from + row * width); };
      const Vec centre = chained_sum(count, at) * static_cast<float>(1 / n);
      const Vec s1 = chained_sum(count, [&](std::int64_t row) { return at(row) - centre; });
      const Vec s2 = chained_sum(count, [&](std::int64_t row) {
        const Vec difference = at(row) - centre;
        return difference * difference;
      });
      const std::int64_t last = width - c < kLanes ? width - c : kLanes;
      for (std::int64_t i = 0; i < last; ++i) {
        const auto offset = static_cast<double>(s1[i]);
        merge(mean[c + i], m2[c + i], static_cast<double>(centre[i]) + offset / n,
              static_cast<double>(s2[i]) - offset * offset / n);
      }
    });
  }
}

#if defined(KILN_SMALL)  // what a server computes at once is smaller than kStreamedBytes
constexpr bool kStreams = false;
#else
constexpr bool kStreams = true;
#endif

// body(lanes, row, c) over `count` rows of `width` elements that are written from `to` on.
template <class T, class Body>
void map_rows(T* to, std::int64_t count, std::int64_t width, bool stream, const Body& body) {
  if (!kStreams || !stream || !streamable(to, width)) {
    for (std::int64_t row = 0; row < count; ++row)
      map_vectors(width, [=](auto lanes, std::int64_t c) { body(lanes, row, c); });
    return;
  }
  if constexpr (kStreams) {
    for (std::int64_t row = 0; row < count; ++row)
      for (std::int64_t c = 0; c < width; c += kLanes) body(StreamedLanes{}, row, c);
    fence_streams();
  }
}

template <Activation activation>
using Through = std::integral_constant<Activation, activation>;

// g = dy through the activation: the relu whose result is y, or the gelu of (x - mean) scale +
// shift. `in` holds a row's constants, c is the element's place in the row.
template <class Lanes, Activation activation, class T>
[[gnu::always_inline]] inline Vec gradient_at(Lanes lanes, Through<activation>,
                                              const BatchnormSums<T>& in, std::int64_t i,
                                              std::int64_t c, Vec centred) {
  const Vec dy = lanes.load(in.dy + i);
  if constexpr (activation == Activation::relu) return lanes.load(in.y + i) > Vec{} ? dy : Vec{};
  if constexpr (activation == Activation::gelu)
    return dy * gelu_slope(fmadd(centred, lanes.load(in.scale + c), lanes.load(in.shift + c)));
  return dy;
}

template <class T, class Use>
inline void with_activation(const BatchnormSums<T>& in, const Use& use) {
  if (in.scale != nullptr) return use(Through<Activation::gelu>{});
  if (in.y != nullptr) return use(Through<Activation::relu>{});
  use(Through<Activation::none>{});
}

// The constants of `group` rows in one.
template <class T>
struct Repeated {
  float mean[kWidest], scale[kWidest], shift[kWidest];
  BatchnormSums<T> sums;

  Repeated(const BatchnormSums<T>& in, std::int64_t channels, std::int64_t group) : sums(in) {
    repeat(in.mean, channels, group, mean);
    sums.mean = mean;
    if (in.scale == nullptr) return;
    repeat(in.scale, channels, group, scale);
    repeat(in.shift, channels, group, shift);
    sums.scale = scale;
    sums.shift = shift;
  }
};

template <class T>
inline BatchnormSums<T> moved_by(BatchnormSums<T> in, std::int64_t elements) {
  in.x += elements;
  if (in.y != nullptr) in.y += elements;
  in.dy += elements;
  if (in.kept != nullptr) in.kept += elements;
  return in;
}

// The constants of `in` are as wide as a row.
template <Activation activation, class T>
[[gnu::flatten]] void wide_sums_through(Through<activation> through, const BatchnormSums<T>& in,
                                        std::int64_t rows, std::int64_t width, double* dbeta,
                                        double* dgamma) {
  for (std::int64_t c = 0; c < width; ++c) dbeta[c] = dgamma[c] = 0;
  const std::int64_t step = block_rows(width) / 2;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = rows - first < step ? rows - first : step;
    map_vectors(width, [&](auto lanes, std::int64_t c) {
      const std::int64_t from = first * width + c;
      const Vec centre = lanes.load(in.mean + c);
      // Two chains of each sum; even rows go to the first.
      Vec even_beta{}, odd_beta{}, even_gamma{}, odd_gamma{};
      const auto take = [&](std::int64_t row, Vec& beta, Vec& gamma) {
        const std::int64_t i = from + row * width;
        const Vec centred = lanes.load(in.x + i) - centre;
        const Vec g = gradient_at(lanes, through, in, i, c, centred);
        if constexpr (activation == Activation::gelu)
          if (in.kept != nullptr) lanes.store(in.kept + i, g);
        beta += g;
        gamma = fmadd(g, centred, gamma);
      };
      std::int64_t row = 0;
      for (; row + 2 <= count; row += 2) {
        take(row, even_beta, even_gamma);
        take(row + 1, odd_beta, odd_gamma);
      }
      if (row < count) take(row, even_beta, even_gamma);
      const Vec all_beta = even_beta + odd_beta, all_gamma = even_gamma + odd_gamma;
      const std::int64_t last = width - c < kLanes ? width - c : kLanes;
      for (std::int64_t i = 0; i < last; ++i) {
        dbeta[c + i] += static_cast<double>(all_beta[i]);
        dgamma[c + i] += static_cast<double>(all_gamma[i]);
      }
    });
  }
}

template <class T>
void wide_sums(const BatchnormSums<T>& in, std::int64_t rows, std::int64_t width, double* dbeta,
               double* dgamma) {
  with_activation(
      in, [&](auto through) { wide_sums_through(through, in, rows, width, dbeta, dgamma); });
}

// The constants are as wide as a row.
template <Activation activation, class T>
[[gnu::flatten]] void wide_grad(Through<activation> through, const BatchnormSums<T>& in,
                                const BatchnormTilt& t, T* dx, std::int64_t rows,
                                std::int64_t width, bool add, bool stream) {
  map_rows(dx, rows, width, stream && !add, [&](auto lanes, std::int64_t row, std::int64_t c) {
    const std::int64_t i = row * width + c;
    const Vec centred = lanes.load(in.x + i) - lanes.load(in.mean + c);
    const Vec g = gradient_at(lanes, through, in, i, c, centred);
    const Vec v = fmadd(lanes.load(t.tilt + c), centred,
                        fmadd(lanes.load(t.slope + c), g, lanes.load(t.offset + c)));
    lanes.store(dx + i, add ? lanes.load(dx + i) + v : v);
  });
}

// y = act((x - mean) scale + beta); the constants are as wide as a row.
template <Activation activation, class T>
[[gnu::flatten]] void wide_apply(Through<activation>, const T* x, T* y, std::int64_t rows,
                                 std::int64_t width, const float* mean, const float* scale,
                                 const float* beta, bool stream) {
  map_rows(y, rows, width, stream, [=](auto lanes, std::int64_t row, std::int64_t c) {
    const Vec v = fmadd(lanes.load(x + row * width + c) - lanes.load(mean + c),
                        lanes.load(scale + c), lanes.load(beta + c));
    if constexpr (activation == Activation::gelu)
      lanes.store(y + row * width + c, gelu_of(v));
    else
      lanes.store(y + row * width + c,
                  activation == Activation::relu ? (v < Vec{} ? Vec{} : v) : v);
  });
}

}  // namespace

template <class T>
void batchnorm_moments(const T* x, std::int64_t rows, std::int64_t channels, double* mean,
                       double* m2) {
  const std::int64_t group = group_of(channels), wide_rows = rows / group;
  if (group == 1) return wide_moments(x, rows, channels, mean, m2);
  double wide_mean[kWidest], wide_m2[kWidest];
  wide_moments(x, wide_rows, group * channels, wide_mean, wide_m2);
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0;
  double before = 0;
  for (std::int64_t g = 0; g < group && wide_rows > 0; ++g) {
    const Merge merge(before, static_cast<double>(wide_rows));
    for (std::int64_t c = 0; c < channels; ++c)
      merge(mean[c], m2[c], wide_mean[g * channels + c], wide_m2[g * channels + c]);
    before += static_cast<double>(wide_rows);
  }
  for (std::int64_t row = wide_rows * group; row < rows; ++row, ++before) {
    const Merge merge(before, 1);
    for (std::int64_t c = 0; c < channels; ++c)
      merge(mean[c], m2[c], static_cast<double>(widened(x[row * channels + c])), 0);
  }
}

template <class T>
void batchnorm_apply(const T* x, T* y, std::int64_t rows, std::int64_t channels, const float* mean,
                     const float* scale, const float* beta, Activation activation, bool stream) {
  const auto apply = [=](const T* from, T* to, std::int64_t count, std::int64_t width,
                         const float* m, const float* s, const float* b) {
    const auto run = [=](auto through) {
      wide_apply(through, from, to, count, width, m, s, b, stream);
    };
    if (activation == Activation::gelu) return run(Through<Activation::gelu>{});
    if (activation == Activation::relu) return run(Through<Activation::relu>{});
    run(Through<Activation::none>{});
  };
  const std::int64_t group = group_of(channels), wide_rows = rows / group;
  if (group == 1) return apply(x, y, rows, channels, mean, scale, beta);
  float wide_mean[kWidest], wide_scale[kWidest], wide_beta[kWidest];
  repeat(mean, channels, group, wide_mean);
  repeat(scale, channels, group, wide_scale);
  repeat(beta, channels, group, wide_beta);
  const std::int64_t done = wide_rows * group;
  apply(x, y, wide_rows, group * channels, wide_mean, wide_scale, wide_beta);
  apply(x + done * channels, y + done * channels, rows - done, channels, mean, scale, beta);
}

template <class T>
void batchnorm_sums(const BatchnormSums<T>& in, std::int64_t rows, std::int64_t channels,
                    double* dbeta, double* dgamma) {
  const std::int64_t group = group_of(channels), wide_rows = rows / group;
  if (group == 1) return wide_sums(in, rows, channels, dbeta, dgamma);
  double wide_beta[kWidest], wide_gamma[kWidest];
  wide_sums(Repeated<T>(in, channels, group).sums, wide_rows, group * channels, wide_beta,
            wide_gamma);
  wide_sums(moved_by(in, wide_rows * group * channels), rows - wide_rows * group, channels, dbeta,
            dgamma);
  for (std::int64_t i = 0; i < group * channels; ++i) {
    dbeta[i % channels] += wide_beta[i];
    dgamma[i % channels] += wide_gamma[i];
  }
}

template <class T>
void batchnorm_grad(const BatchnormSums<T>& in, const BatchnormTilt& tilt, T* dx, std::int64_t rows,
                    std::int64_t channels, bool add, bool stream) {
  const auto apply = [=](const BatchnormSums<T>& from, T* to, std::int64_t count,
                         std::int64_t width, const BatchnormTilt& t) {
    with_activation(
        from, [&](auto through) { wide_grad(through, from, t, to, count, width, add, stream); });
  };
  const std::int64_t group = group_of(channels), wide_rows = rows / group;
  if (group == 1) return apply(in, dx, rows, channels, tilt);
  float slope[kWidest], offset[kWidest], slant[kWidest];
  repeat(tilt.slope, channels, group, slope);
  repeat(tilt.offset, channels, group, offset);
  repeat(tilt.tilt, channels, group, slant);
  const std::int64_t done = wide_rows * group;
  apply(Repeated<T>(in, channels, group).sums, dx, wide_rows, group * channels,
        {slope, offset, slant});
  apply(moved_by(in, done * channels), dx + done * channels, rows - done, channels, tilt);
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                                                     \
  template void batchnorm_moments(const T*, std::int64_t, std::int64_t, double*, double*);      \
  template void batchnorm_apply(const T*, T*, std::int64_t, std::int64_t, const float*,         \
                                const float*, const float*, Activation, bool);                  \
  template void batchnorm_sums(const BatchnormSums<T>&, std::int64_t, std::int64_t, double*,    \
                               double*);                                                        \
  template void batchnorm_grad(const BatchnormSums<T>&, const BatchnormTilt&, T*, std::int64_t, \
                               std::int64_t, bool, bool);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace kiln::cpu::KILN_ISA
