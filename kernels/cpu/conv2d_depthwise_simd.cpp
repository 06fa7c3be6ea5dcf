#include "kernels/cpu/conv2d_depthwise_simd.h"

#include "kernels/cpu/simd_map.h"
#include "kernels/cpu/unroll.h"

namespace kiln::cpu::KILN_ISA {
namespace {

struct Span {
  std::int64_t begin, end;
};

// The t in [0, count) with 0 <= at + t * distance < source.
inline Span inside(std::int64_t count, std::int64_t distance, std::int64_t at,
                   std::int64_t source) {
  const std::int64_t begin = at < 0 ? (-at + distance - 1) / distance : 0;
  const std::int64_t end = at < source ? (source - 1 - at) / distance + 1 : 0;
  const std::int64_t last = end < count ? end : count;
  return {begin, begin < last ? last : begin};
}
inline Span inner_taps(const DepthwiseAxis& axis, std::int64_t output) {
  return inside(axis.taps, axis.step, output * axis.stride + axis.first, axis.source);
}
// Outputs all of whose taps are inside the source.
inline Span inner_outputs(const DepthwiseAxis& axis) {
  Span span{0, axis.outputs};
  for (std::int64_t t = 0; t < axis.taps; ++t) {
    const Span one = inside(axis.outputs, axis.stride, axis.first + t * axis.step, axis.source);
    span.begin = span.begin < one.begin ? one.begin : span.begin;
    span.end = span.end < one.end ? span.end : one.end;
  }
  span.end = span.begin < span.end ? span.end : span.begin;
  return span;
}

// One tap of a block: its weights, and what it reads of the block's first pixel.
struct Tap {
  const float* weights;
  const float* source;
};

inline Tap tap_at(const DepthwiseJob& job, const float* source, std::int64_t i, std::int64_t q,
                  std::int64_t r, std::int64_t s) {
  const std::int64_t row = i * job.h.stride + job.h.first + r * job.h.step;
  const std::int64_t column = q * job.w.stride + job.w.first + s * job.w.step;
  const std::int64_t tap = (job.h.weight_first + r * job.h.weight_step) * job.weight_row +
                           job.w.weight_first + s * job.w.weight_step;
  const std::int64_t pixel = job.depth * job.channels;
  return {job.weights + tap * pixel, source + (row * job.w.source + column) * pixel};
}

// Whether a window moves by one pixel from output to output over taps that stand side by side: then
// a value is read once and used for as many outputs as there are taps.
inline bool slides(const DepthwiseJob& job) { return job.w.stride == 1 && job.w.step == 1; }

// Adds the taps `columns` of one row of the window to the sums of a block.
template <int Pixels, class Lanes>
inline void add_row(const DepthwiseJob& job, Lanes lanes, Tap tap, Span columns, Vec* sum) {
  const std::int64_t pixel = job.depth * job.channels, next = job.w.stride * pixel;
  for (std::int64_t s = columns.begin; s < columns.end; ++s) {
    for (std::int64_t d = 0; d < pixel; d += job.channels) {
      const Vec weight = lanes.load(tap.weights + d);
      KILN_UNROLL
      for (int j = 0; j < Pixels; ++j)
        sum[j] = fmadd(weight, lanes.load(tap.source + d + j * next), sum[j]);
    }
    tap.weights += job.w.weight_step * pixel;
    tap.source += job.w.step * pixel;
  }
}

// The same for `Taps` taps that slide, depth 1. Each sum takes its taps in the same order.
template <int Pixels, int Taps, class Lanes>
inline void add_sliding_row(const DepthwiseJob& job, Lanes lanes, Tap tap, Vec* sum) {
  Vec weight[Taps];
  KILN_UNROLL
  for (int t = 0; t < Taps; ++t)
    weight[t] = lanes.load(tap.weights + t * job.w.weight_step * job.channels);
  KILN_UNROLL
  for (int m = 0; m < Pixels + Taps - 1; ++m) {
    const Vec x = lanes.load(tap.source + m * job.channels);
    KILN_UNROLL
    for (int t = 0; t < Taps; ++t)
      if (m - t >= 0 && m - t < Pixels) sum[m - t] = fmadd(weight[t], x, sum[m - t]);
  }
}

// `flatten` here and below: GCC leaves the bodies functions of their own otherwise.
//
// `Pixels` neighbouring outputs of row i, beginning with column q.
template <int Pixels>
[[gnu::flatten]] void block(const DepthwiseJob& job, const float* source, std::int64_t i,
                            std::int64_t q, Span rows, Span columns, float* out) {
  const bool empty = rows.begin == rows.end || columns.begin == columns.end;
  const Tap corner =
      empty ? Tap{job.weights, source} : tap_at(job, source, i, q, rows.begin, columns.begin);
  const std::int64_t pixel = job.depth * job.channels;
  const std::int64_t source_row = job.h.step * job.w.source * pixel;
  const std::int64_t weight_row = job.h.weight_step * job.weight_row * pixel;
  const std::int64_t out_next = job.w.out_step * job.channels;
  const std::int64_t sliding =
      slides(job) && job.depth == 1 ? columns.end - columns.begin : std::int64_t{0};
  map_vectors(job.channels, [&](auto lanes, std::int64_t c) {
    Vec sum[Pixels];
    const Vec start = job.start == nullptr ? Vec{} : lanes.load(job.start + c);
    KILN_UNROLL
    for (int j = 0; j < Pixels; ++j) sum[j] = start;
    Tap tap{corner.weights + c, corner.source + c};
    for (std::int64_t r = rows.begin; r < rows.end && !empty; ++r) {
      if (sliding == 3)
        add_sliding_row<Pixels, 3>(job, lanes, tap, sum);
      else if (sliding == 5)
        add_sliding_row<Pixels, 5>(job, lanes, tap, sum);
      else
        add_row<Pixels>(job, lanes, tap, columns, sum);
      tap.weights += weight_row;
      tap.source += source_row;
    }
    KILN_UNROLL
    for (int j = 0; j < Pixels; ++j) {
      float* to = out + j * out_next + c;
      Vec value = job.add ? lanes.load(to) + sum[j] : sum[j];
      if (job.relu) value = value < Vec{} ? Vec{} : value;
      lanes.store(to, value);
    }
  });
}

// Sums for neighbouring taps over `count` outputs, in two chains each: even and odd outputs.
template <int Taps>
struct Sums {
  Vec even[Taps]{}, odd[Taps]{};
};

template <int Taps>
inline void take(Vec g, const Vec* x, Vec* sum) {
  KILN_UNROLL
  for (int t = 0; t < Taps; ++t) sum[t] = fmadd(g, x[t], sum[t]);
}

template <int Taps, class Lanes>
inline Sums<Taps> sum_taps(const DepthwiseJob& job, Lanes lanes, const float* from,
                           const float* gradient, std::int64_t count) {
  const std::int64_t pixel = job.depth * job.channels;
  const std::int64_t next = job.w.stride * pixel, step = job.w.step * pixel;
  Sums<Taps> sums;
  const auto add = [&](std::int64_t q, Vec* sum) {
    Vec x[Taps];
    KILN_UNROLL
    for (int t = 0; t < Taps; ++t) x[t] = lanes.load(from + q * next + t * step);
    take<Taps>(lanes.load(gradient + q * job.channels), x, sum);
  };
  std::int64_t q = 0;
  for (; q + 2 <= count; q += 2) {
    add(q, sums.even);
    add(q + 1, sums.odd);
  }
  if (q < count) add(q, sums.even);
  return sums;
}

// The same, bit for bit, for taps that slide: two outputs at a time read two new values.
template <int Taps, class Lanes>
inline Sums<Taps> sum_sliding_taps(const DepthwiseJob& job, Lanes lanes, const float* from,
                                   const float* gradient, std::int64_t count) {
  const std::int64_t pixel = job.depth * job.channels;
  Sums<Taps> sums;
  Vec x[Taps + 1];
  KILN_UNROLL
  for (int t = 0; t < Taps - 1; ++t) x[t] = lanes.load(from + t * pixel);
  std::int64_t q = 0;
  for (; q + 2 <= count; q += 2) {
    x[Taps - 1] = lanes.load(from + (q + Taps - 1) * pixel);
    x[Taps] = lanes.load(from + (q + Taps) * pixel);
    take<Taps>(lanes.load(gradient + q * job.channels), x, sums.even);
    take<Taps>(lanes.load(gradient + (q + 1) * job.channels), x + 1, sums.odd);
    KILN_UNROLL
    for (int t = 0; t < Taps - 1; ++t) x[t] = x[t + 2];
  }
  if (q < count) {
    x[Taps - 1] = lanes.load(from + (q + Taps - 1) * pixel);
    take<Taps>(lanes.load(gradient + q * job.channels), x, sums.even);
  }
  return sums;
}

// dw of taps s, s + 1, ... (`Taps` of them) of row r, summed over the outputs `outputs` of row i.
template <int Taps>
[[gnu::flatten]] void add_taps(const DepthwiseJob& job, const float* source, const float* dy,
                               std::int64_t i, std::int64_t r, std::int64_t s, Span outputs,
                               float* dw) {
  const std::int64_t pixel = job.depth * job.channels, count = outputs.end - outputs.begin;
  const Tap tap = tap_at(job, source, i, outputs.begin, r, s);
  float* to = dw + (tap.weights - job.weights);
  for (std::int64_t d = 0; d < pixel; d += job.channels) {
    map_vectors(job.channels, [&](auto lanes, std::int64_t c) {
      const float* from = tap.source + d + c;
      const float* gradient = dy + outputs.begin * job.channels + c;
      const Sums<Taps> sums = slides(job)
                                  ? sum_sliding_taps<Taps>(job, lanes, from, gradient, count)
                                  : sum_taps<Taps>(job, lanes, from, gradient, count);
      KILN_UNROLL
      for (int t = 0; t < Taps; ++t) {
        float* sum = to + t * pixel + d + c;
        lanes.store(sum, lanes.load(sum) + (sums.even[t] + sums.odd[t]));
      }
    });
  }
}

void add_span(const DepthwiseJob& job, const float* source, const float* dy, std::int64_t i,
              std::int64_t r, Span taps, Span outputs, float* dw) {
  std::int64_t s = taps.begin;
  for (; s + 5 <= taps.end; s += 5) add_taps<5>(job, source, dy, i, r, s, outputs, dw);
  if (taps.end - s == 3) return add_taps<3>(job, source, dy, i, r, s, outputs, dw);
  if (taps.end - s == 2) add_taps<2>(job, source, dy, i, r, s, outputs, dw);
  if (taps.end - s == 4) add_taps<4>(job, source, dy, i, r, s, outputs, dw);
  if (taps.end - s == 1) add_taps<1>(job, source, dy, i, r, s, outputs, dw);
}

void add_bias(const DepthwiseJob& job, const float* dy, float* dbias) {
  map_vectors(job.channels, [&](auto lanes, std::int64_t c) {
    Vec a{}, b{}, d{}, e{};
    std::int64_t q = 0;
    const auto at = [&](std::int64_t pixel) { return lanes.load(dy + pixel * job.channels + c); };
    for (; q + 4 <= job.w.outputs; q += 4) {
      a += at(q);
      b += at(q + 1);
      d += at(q + 2);
      e += at(q + 3);
    }
    for (; q < job.w.outputs; ++q) a += at(q);
    lanes.store(dbias + c, lanes.load(dbias + c) + ((a + b) + (d + e)));
  });
}

}  // namespace

void depthwise_rows_f32(const DepthwiseJob& job, const float* source, float* out,
                        std::int64_t begin, std::int64_t end) {
  const Span inner = inner_outputs(job.w), all{0, job.w.taps};
  for (std::int64_t i = begin; i < end; ++i) {
    const Span rows = inner_taps(job.h, i);
    float* row = out + (job.h.out_first + i * job.h.out_step) * job.out_width * job.channels;
    const auto at = [&](std::int64_t q) {
      return row + (job.w.out_first + q * job.w.out_step) * job.channels;
    };
    const auto edge = [&](std::int64_t q) {
      block<1>(job, source, i, q, rows, inner_taps(job.w, q), at(q));
    };
    for (std::int64_t q = 0; q < inner.begin; ++q) edge(q);
    for (std::int64_t q = inner.begin; q < inner.end;) {
      const std::int64_t left = inner.end - q;
      const auto take = [&](auto block_of, std::int64_t count) {
        block_of(job, source, i, q, rows, all, at(q));
        q += count;
      };
      if (left >= 6)
        take(block<6>, 6);
      else if (left >= 4)
        left == 4 ? take(block<4>, 4) : take(block<5>, 5);
      else
        left == 3 ? take(block<3>, 3) : left == 2 ? take(block<2>, 2) : take(block<1>, 1);
    }
    for (std::int64_t q = inner.end; q < job.w.outputs; ++q) edge(q);
  }
}

void depthwise_dw_f32(const DepthwiseJob& job, const float* source, const float* dy, float* dw,
                      float* dbias) {
  const Span inner = inner_outputs(job.w), all{0, job.w.taps};
  for (std::int64_t i = 0; i < job.h.outputs; ++i) {
    const Span rows = inner_taps(job.h, i);
    const float* row = dy + i * job.w.outputs * job.channels;
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      const auto edge = [&](std::int64_t q) {
        add_span(job, source, row, i, r, inner_taps(job.w, q), {q, q + 1}, dw);
      };
      for (std::int64_t q = 0; q < inner.begin; ++q) edge(q);
      if (inner.begin < inner.end) add_span(job, source, row, i, r, all, inner, dw);
      for (std::int64_t q = inner.end; q < job.w.outputs; ++q) edge(q);
    }
    if (dbias != nullptr) add_bias(job, row, dbias);
  }
}

}  // namespace kiln::cpu::KILN_ISA
