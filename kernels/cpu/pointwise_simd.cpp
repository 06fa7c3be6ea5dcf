#include "kernels/cpu/pointwise_simd.h"

#include "kernels/cpu/simd_map.h"

namespace kiln::cpu::KILN_ISA {
namespace {

// max(x, 0), NaN kept.
inline Vec rectified(Vec x) { return x < Vec{} ? Vec{} : x; }

}  // namespace

void relu_f32(const float* x, float* y, std::int64_t count) {
  map_vectors(
      count, [=](auto lanes, std::int64_t i) { lanes.store(y + i, rectified(lanes.load(x + i))); });
}

void relu_grad_f32(const float* y, const float* dy, float* dx, std::int64_t count, bool add) {
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

void add_f32(const float* a, const float* b, float* y, std::int64_t count) {
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

void add_relu_f32(const float* a, const float* b, float* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    lanes.store(y + i, rectified(lanes.load(a + i) + lanes.load(b + i)));
  });
}

}  // namespace kiln::cpu::KILN_ISA
