#include "kernels/cpu/batchnorm_simd.h"

#include "kernels/cpu/simd_map.h"

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

// body(lanes, row, c) over `count` rows of `width` elements that are written from `to` on.
template <class T, class Body>
void map_rows(T* to, std::int64_t count, std::int64_t width, bool stream, const Body& body) {
  if (!stream || !streamable(to, width)) {
    for (std::int64_t row = 0; row < count; ++row)
      map_vectors(width, [=](auto lanes, std::int64_t c) { body(lanes, row, c); });
    return;
  }
  for (std::int64_t row = 0; row < count; ++row)
    for (std::int64_t c = 0; c < width; c += kLanes) body(StreamedLanes{}, row, c);
  fence_streams();
}

// g = dy through the relu whose result is y.
template <class Lanes, class T>
inline Vec masked(Lanes lanes, const BatchnormSums<T>& in, std::int64_t i) {
  const Vec dy = lanes.load(in.dy + i);
  return in.y == nullptr ? dy : lanes.load(in.y + i) > Vec{} ? dy : Vec{};
}

// `mean` is as wide as a row.
template <class T>
void wide_sums(const BatchnormSums<T>& in, const float* mean, std::int64_t rows, std::int64_t width,
               double* dbeta, double* dgamma) {
  for (std::int64_t c = 0; c < width; ++c) dbeta[c] = dgamma[c] = 0;
  const std::int64_t step = block_rows(width) / 2;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = rows - first < step ? rows - first : step;
    map_vectors(width, [&](auto lanes, std::int64_t c) {
      const std::int64_t from = first * width + c;
      const Vec centre = lanes.load(mean + c);
      // Two chains of each sum; even rows go to the first.
      Vec even_beta{}, odd_beta{}, even_gamma{}, odd_gamma{};
      const auto take = [&](std::int64_t row, Vec& beta, Vec& gamma) {
        const std::int64_t i = from + row * width;
        const Vec g = masked(lanes, in, i);
        beta += g;
        gamma = fmadd(g, lanes.load(in.x + i) - centre, gamma);
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
                     const float* scale, const float* beta, bool relu, bool stream) {
  const auto apply = [relu, stream](const T* from, T* to, std::int64_t count, std::int64_t width,
                                    const float* m, const float* s, const float* b) {
    const auto body = [=](auto lanes, std::int64_t row, std::int64_t c) {
      const Vec v = fmadd(lanes.load(from + row * width + c) - lanes.load(m + c), lanes.load(s + c),
                          lanes.load(b + c));
      lanes.store(to + row * width + c, relu ? (v < Vec{} ? Vec{} : v) : v);
    };
    map_rows(to, count, width, stream, body);
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
  if (group == 1) return wide_sums(in, in.mean, rows, channels, dbeta, dgamma);
  float wide_mean[kWidest];
  double wide_beta[kWidest], wide_gamma[kWidest];
  repeat(in.mean, channels, group, wide_mean);
  wide_sums(in, wide_mean, wide_rows, group * channels, wide_beta, wide_gamma);
  const std::int64_t done = wide_rows * group * channels;
  const BatchnormSums<T> rest{in.x + done, in.y == nullptr ? nullptr : in.y + done, in.dy + done,
                              in.mean};
  wide_sums(rest, in.mean, rows - wide_rows * group, channels, dbeta, dgamma);
  for (std::int64_t i = 0; i < group * channels; ++i) {
    dbeta[i % channels] += wide_beta[i];
    dgamma[i % channels] += wide_gamma[i];
  }
}

template <class T>
void batchnorm_grad(const BatchnormSums<T>& in, const BatchnormTilt& tilt, T* dx, std::int64_t rows,
                    std::int64_t channels, bool add, bool stream) {
  const auto apply = [&in, dx, add, stream](std::int64_t begin, std::int64_t count,
                                            std::int64_t width, const float* mean,
                                            const BatchnormTilt& t) {
    const auto body = [&](auto lanes, std::int64_t row, std::int64_t c) {
      const std::int64_t i = begin + row * width + c;
      const Vec centred = lanes.load(in.x + i) - lanes.load(mean + c);
      const Vec v =
          fmadd(lanes.load(t.tilt + c), centred,
                fmadd(lanes.load(t.slope + c), masked(lanes, in, i), lanes.load(t.offset + c)));
      lanes.store(dx + i, add ? lanes.load(dx + i) + v : v);
    };
    map_rows(dx + begin, count, width, stream && !add, body);
  };
  const std::int64_t group = group_of(channels), wide_rows = rows / group;
  if (group == 1) return apply(0, rows, channels, in.mean, tilt);
  float mean[kWidest], slope[kWidest], offset[kWidest], slant[kWidest];
  repeat(in.mean, channels, group, mean);
  repeat(tilt.slope, channels, group, slope);
  repeat(tilt.offset, channels, group, offset);
  repeat(tilt.tilt, channels, group, slant);
  apply(0, wide_rows, group * channels, mean, {slope, offset, slant});
  apply(wide_rows * group * channels, rows - wide_rows * group, channels, in.mean, tilt);
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                                                     \
  template void batchnorm_moments(const T*, std::int64_t, std::int64_t, double*, double*);      \
  template void batchnorm_apply(const T*, T*, std::int64_t, std::int64_t, const float*,         \
                                const float*, const float*, bool, bool);                        \
  template void batchnorm_sums(const BatchnormSums<T>&, std::int64_t, std::int64_t, double*,    \
                               double*);                                                        \
  template void batchnorm_grad(const BatchnormSums<T>&, const BatchnormTilt&, T*, std::int64_t, \
                               std::int64_t, bool, bool);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace kiln::cpu::KILN_ISA
