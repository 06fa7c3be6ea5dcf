#include "kernels/cpu/pool_simd.h"

#include "kernels/cpu/simd_bytes.h"

namespace kiln::cpu::KILN_ISA {
namespace {

inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline std::int64_t larger(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

// Taps [begin, end) of output `at` that are inside the picture; tap t reads place start + t.
struct Taps {
  std::int64_t start, begin, end;
};
inline Taps taps_of(std::int64_t at, std::int64_t stride, std::int64_t pad, std::int64_t window,
                    std::int64_t extent) {
  const std::int64_t start = at * stride - pad;
  return {start, larger(0, -start), smaller(window, extent - start)};
}

// Outputs [begin, end) whose windows hold input `at`.
struct Outputs {
  std::int64_t begin, end;
};
inline Outputs outputs_of(std::int64_t at, std::int64_t stride, std::int64_t pad,
                          std::int64_t window, std::int64_t output_count) {
  const std::int64_t last = (at + pad) / stride;
  const std::int64_t before = at + pad - window;  // the last place that an earlier window misses
  return {before < 0 ? 0 : before / stride + 1, smaller(last + 1, output_count)};
}

inline float window_scale(const PoolJob& job, const Taps& rows, const Taps& columns) {
  const std::int64_t places = job.count_include_pad
                                  ? job.r * job.s
                                  : (rows.end - rows.begin) * (columns.end - columns.begin);
  return 1.0f / static_cast<float>(places);
}

template <class T>
inline void maxpool_pixel(const PoolJob& job, const Taps& rows, const Taps& columns,
                          const T* picture, T* y, std::uint8_t* index) {
  map_vectors(job.c, [&](auto lanes, std::int64_t c) {
    Vec best = broadcast(-__builtin_inff());
    IntVec winner = IntVec{} + static_cast<std::int32_t>(rows.begin * job.s + columns.begin);
    for (std::int64_t i = rows.begin; i < rows.end; ++i)
      for (std::int64_t j = columns.begin; j < columns.end; ++j) {
        const Vec value =
            lanes.load(picture + ((rows.start + i) * job.w + columns.start + j) * job.c + c);
        const IntVec wins = (value > best) | (value != value);
        best = wins ? value : best;
        winner = wins ? IntVec{} + static_cast<std::int32_t>(i * job.s + j) : winner;
      }
    lanes.store(y + c, best);
    if (index != nullptr) store_bytes(lanes, index + c, winner);
  });
}

// A 2x2 window inside the picture, most windows of most networks: no loops left.
template <class T>
inline void maxpool_2x2(const PoolJob& job, const T* corner, T* y, std::uint8_t* index) {
  map_vectors(job.c, [&](auto lanes, std::int64_t c) {
    const T* from = corner + c;
    const T* below = from + job.w * job.c;
    Vec best = broadcast(-__builtin_inff());
    IntVec winner{};
    const auto take = [&](Vec value, std::int32_t place) {
      const IntVec wins = (value > best) | (value != value);
      best = wins ? value : best;
      winner = wins ? IntVec{} + place : winner;
    };
    take(lanes.load(from), 0);
    take(lanes.load(from + job.c), 1);
    take(lanes.load(below), 2);
    take(lanes.load(below + job.c), 3);
    lanes.store(y + c, best);
    if (index != nullptr) store_bytes(lanes, index + c, winner);
  });
}

inline bool is_whole_2x2(const Taps& rows, const Taps& columns, const PoolJob& job) {
  return job.r == 2 && job.s == 2 && rows.begin == 0 && rows.end == 2 && columns.begin == 0 &&
         columns.end == 2;
}

}  // namespace

template <class T>
void maxpool_rows(const PoolJob& job, const T* x, T* y, std::uint8_t* index, std::int64_t begin,
                  std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* picture = x + row / job.p * job.h * job.w * job.c;
    const Taps rows = taps_of(row % job.p, job.stride_h, job.pad_h, job.r, job.h);
    for (std::int64_t q = 0; q < job.q; ++q) {
      const std::int64_t at = (row * job.q + q) * job.c;
      std::uint8_t* to_index = index == nullptr ? nullptr : index + at;
      const Taps columns = taps_of(q, job.stride_w, job.pad_w, job.s, job.w);
      if (is_whole_2x2(rows, columns, job))
        maxpool_2x2(job, picture + (rows.start * job.w + columns.start) * job.c, y + at, to_index);
      else
        maxpool_pixel(job, rows, columns, picture, y + at, to_index);
    }
  }
}

template <class T>
void maxpool_grad_rows(const PoolJob& job, const std::uint8_t* index, const T* dy, T* dx,
                       std::int64_t begin, std::int64_t end, bool add) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t h = row % job.h, first = row / job.h * job.p;
    const Outputs rows = outputs_of(h, job.stride_h, job.pad_h, job.r, job.p);
    for (std::int64_t w = 0; w < job.w; ++w) {
      const Outputs columns = outputs_of(w, job.stride_w, job.pad_w, job.s, job.q);
      T* to = dx + (row * job.w + w) * job.c;
      map_vectors(job.c, [&](auto lanes, std::int64_t c) {
        Vec total = add ? lanes.load(to + c) : Vec{};
        for (std::int64_t p = rows.begin; p < rows.end; ++p)
          for (std::int64_t q = columns.begin; q < columns.end; ++q) {
            const std::int64_t from = ((first + p) * job.q + q) * job.c + c;
            const std::int64_t place =
                (h + job.pad_h - p * job.stride_h) * job.s + w + job.pad_w - q * job.stride_w;
            const IntVec won = load_bytes(lanes, index + from) == static_cast<std::int32_t>(place);
            total += won ? lanes.load(dy + from) : Vec{};
          }
        lanes.store(to + c, total);
      });
    }
  }
}

template <class T>
void avgpool_rows(const PoolJob& job, const T* x, T* y, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* picture = x + row / job.p * job.h * job.w * job.c;
    const Taps rows = taps_of(row % job.p, job.stride_h, job.pad_h, job.r, job.h);
    for (std::int64_t q = 0; q < job.q; ++q) {
      const Taps columns = taps_of(q, job.stride_w, job.pad_w, job.s, job.w);
      T* to = y + (row * job.q + q) * job.c;
      const Vec scale = broadcast(window_scale(job, rows, columns));
      map_vectors(job.c, [&](auto lanes, std::int64_t c) {
        Vec total{};
        for (std::int64_t i = rows.begin; i < rows.end; ++i)
          for (std::int64_t j = columns.begin; j < columns.end; ++j)
            total +=
                lanes.load(picture + ((rows.start + i) * job.w + columns.start + j) * job.c + c);
        lanes.store(to + c, total * scale);
      });
    }
  }
}

template <class T>
void avgpool_grad_rows(const PoolJob& job, const T* dy, T* dx, std::int64_t begin, std::int64_t end,
                       bool add) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = row / job.h * job.p;
    const Outputs rows = outputs_of(row % job.h, job.stride_h, job.pad_h, job.r, job.p);
    for (std::int64_t w = 0; w < job.w; ++w) {
      const Outputs columns = outputs_of(w, job.stride_w, job.pad_w, job.s, job.q);
      T* to = dx + (row * job.w + w) * job.c;
      map_vectors(job.c, [&](auto lanes, std::int64_t c) {
        Vec total = add ? lanes.load(to + c) : Vec{};
        for (std::int64_t p = rows.begin; p < rows.end; ++p)
          for (std::int64_t q = columns.begin; q < columns.end; ++q) {
            const Vec scale =
                broadcast(window_scale(job, taps_of(p, job.stride_h, job.pad_h, job.r, job.h),
                                       taps_of(q, job.stride_w, job.pad_w, job.s, job.w)));
            total += lanes.load(dy + ((first + p) * job.q + q) * job.c + c) * scale;
          }
        lanes.store(to + c, total);
      });
    }
  }
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                                                        \
  template void maxpool_rows(const PoolJob&, const T*, T*, std::uint8_t*, std::int64_t,            \
                             std::int64_t);                                                        \
  template void maxpool_grad_rows(const PoolJob&, const std::uint8_t*, const T*, T*, std::int64_t, \
                                  std::int64_t, bool);                                             \
  template void avgpool_rows(const PoolJob&, const T*, T*, std::int64_t, std::int64_t);            \
  template void avgpool_grad_rows(const PoolJob&, const T*, T*, std::int64_t, std::int64_t, bool);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace kiln::cpu::KILN_ISA
