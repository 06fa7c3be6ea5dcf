#include "kernels/cpu/pointwise_simd.h"

#include "kernels/cpu/simd_map.h"

namespace kiln::cpu::KILN_ISA {
namespace {

// max(x, 0), NaN kept.
inline Vec rectified(Vec x) { return x < Vec{} ? Vec{} : x; }

}  // namespace

template <class T>
void relu(const T* x, T* y, std::int64_t count) {
  map_vectors(
      count, [=](auto lanes, std::int64_t i) { lanes.store(y + i, rectified(lanes.load(x + i))); });
}

template <class T>
void relu_grad(const T* y, const T* dy, T* dx, std::int64_t count, bool add) {
  const auto gradient = [=](auto lanes, std::int64_t i) {
    return lanes.load(y + i) > Vec{} ? lanes.load(dy + i) : Vec{};
  };
  if (add)
    map_vectors(count, [=](auto lanes, std::int64_t i) {
      lanes.store(dx + i, lanes.load(dx + i) + gradient(lanes, i));
    });
  else
    map_vectors(count,
                [=](auto lanes, std::int64_t i) { lanes.store(dx + i, gradient(lanes, i)); });
}

template <class T>
void add(const T* a, const T* b, T* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    lanes.store(y + i, lanes.load(a + i) + lanes.load(b + i));
  });
}

// Between 2^52 and 2^53 grid the numbers that are there are the multiples of grid: x + shift rounds
// to one of them, and the rest is exact.
void add_on_grid_f32(const float* x, double* y, std::int64_t count, double grid) {
  const double shift = 0x1.8p52 * grid, most = 0x1p51 * grid;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    y[i] += value < most && value > -most ? (value + shift) - shift : value;
  }
}

template <class T>
void add_relu(const T* a, const T* b, T* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    lanes.store(y + i, rectified(lanes.load(a + i) + lanes.load(b + i)));
  });
}

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type.
#define KILN_INSTANTIATE(T)                                            \
  template void relu(const T*, T*, std::int64_t);                      \
  template void relu_grad(const T*, const T*, T*, std::int64_t, bool); \
  template void add(const T*, const T*, T*, std::int64_t);             \
  template void add_relu(const T*, const T*, T*, std::int64_t);
KILN_INSTANTIATE(float)
KILN_INSTANTIATE(BFloat16)
#undef KILN_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

// From and to the storage types.
void widen(const BFloat16* x, float* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) { lanes.store(y + i, lanes.load(x + i)); });
}
void narrow(const float* x, BFloat16* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) { lanes.store(y + i, lanes.load(x + i)); });
}

}  // namespace kiln::cpu::KILN_ISA
