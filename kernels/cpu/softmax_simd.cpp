#include "kernels/cpu/softmax_simd.h"

#include "kernels/cpu/simd_math.h"

namespace kiln::cpu::KILN_ISA {
namespace {

// `v` in the lanes that hold elements, `rest` in the others.
inline Vec with_rest(AllLanes, Vec v, float) { return v; }
inline Vec with_rest(FirstLanes lanes, Vec v, float rest) {
  for (int i = lanes.count; i < kLanes; ++i) v[i] = rest;
  return v;
}

// The largest of a row; NaN are passed over.
template <class T>
inline float row_max(const T* x, std::int64_t count) {
  const float lowest = -__builtin_inff();
  Vec best = broadcast(lowest);
  map_vectors(count, [&](auto lanes, std::int64_t k) {
    best = max(with_rest(lanes, lanes.load(x + k), lowest), best);
  });
  float largest = best[0];
  for (int i = 1; i < kLanes; ++i) largest = best[i] > largest ? best[i] : largest;
  return largest;
}

struct RowSums {
  float exponentials;  // sum of exp(x - largest)
  float shifted;       // sum of x - largest
};

// Keeps exp(x - largest) in `kept` where that is not null; `kept` may be `x`.
template <class T>
inline RowSums row_sums(const T* x, float largest, float* kept, std::int64_t count) {
  Vec exponentials{}, shifted{};
  map_vectors(count, [&](auto lanes, std::int64_t k) {
    const Vec difference = lanes.load(x + k) - largest;
    const Vec e = exp_of(difference);
    exponentials += with_rest(lanes, e, 0.0f);
    shifted += with_rest(lanes, difference, 0.0f);
    if (kept != nullptr) lanes.store(kept + k, e);
  });
  return {sum(exponentials), sum(shifted)};
}

// Whether `label` is the first place of the largest element of a row without NaN.
inline bool is_hit(const float* z, std::int64_t classes, std::int64_t label, float largest) {
  bool hit = z[label] == largest;
  for (std::int64_t k = 0; k < label; ++k) hit = hit && z[k] < largest;
  for (std::int64_t k = label + 1; k < classes; ++k) hit = hit && z[k] <= largest;
  return hit;
}

inline void xent_row(const XentJob& job, std::int64_t n) {
  const std::int64_t classes = job.classes, label = job.t[n];
  const float* z = job.z + n * classes;
  float* dz = job.dz == nullptr ? nullptr : job.dz + n * classes;
  const float largest = row_max(z, classes);
  job.hit[n] = is_hit(z, classes, label, largest) ? 1 : 0;
  const double target = static_cast<double>(z[label] - largest);  // before dz replaces z
  const RowSums sums = row_sums(z, largest, dz, classes);
  const double log_total = __builtin_log(static_cast<double>(sums.exponentials));
  const double spread = job.label_smoothing / static_cast<double>(classes);
  double loss = (1 - job.label_smoothing) * (log_total - target);
  if (job.label_smoothing != 0)
    loss += spread * (static_cast<double>(classes) * log_total - static_cast<double>(sums.shifted));
  job.loss[n] = static_cast<float>(loss);
  if (dz == nullptr) return;
  const auto factor = static_cast<float>(job.scale / static_cast<double>(sums.exponentials));
  const auto offset = static_cast<float>(-job.scale * spread);
  map_vectors(classes, [&](auto lanes, std::int64_t k) {
    lanes.store(dz + k, fmadd(lanes.load(dz + k), broadcast(factor), broadcast(offset)));
  });
  dz[label] -= static_cast<float>(job.scale * (1 - job.label_smoothing));
}

}  // namespace

void softmax_xent_rows_f32(const XentJob& job, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = begin; n < end; ++n) xent_row(job, n);
}

template <class T>
void log_softmax_rows(const T* x, T* y, std::int64_t classes, std::int64_t begin,
                      std::int64_t end) {
  for (std::int64_t n = begin; n < end; ++n) {
    const T* from = x + n * classes;
    T* to = y + n * classes;
    const float largest = row_max(from, classes);
    const float total = row_sums(from, largest, nullptr, classes).exponentials;
    const auto log_total = static_cast<float>(__builtin_log(static_cast<double>(total)));
    map_vectors(classes, [&](auto lanes, std::int64_t k) {
      lanes.store(to + k, lanes.load(from + k) - largest - log_total);
    });
  }
}

template <class T>
void log_softmax_grad_rows(const T* y, const T* dy, T* dx, std::int64_t classes, std::int64_t begin,
                           std::int64_t end, bool add) {
  for (std::int64_t n = begin; n < end; ++n) {
    const std::int64_t row = n * classes;
    Vec lanes_total{};
    map_vectors(classes,
                [&](auto lanes, std::int64_t k) { lanes_total += lanes.load(dy + row + k); });
    const Vec total = broadcast(sum(lanes_total));
    map_vectors(classes, [&](auto lanes, std::int64_t k) {
      const Vec gradient = lanes.load(dy + row + k) - exp_of(lanes.load(y + row + k)) * total;
      lanes.store(dx + row + k, add ? lanes.load(dx + row + k) + gradient : gradient);
    });
  }
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                                               \
  template void log_softmax_rows(const T*, T*, std::int64_t, std::int64_t, std::int64_t); \
  template void log_softmax_grad_rows(const T*, const T*, T*, std::int64_t, std::int64_t, \
                                      std::int64_t, bool);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace kiln::cpu::KILN_ISA
