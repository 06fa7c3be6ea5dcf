#include "kernels/cpu/gelu_simd.h"

#include "kernels/cpu/simd_gelu.h"

namespace kiln::cpu::KILN_ISA {

// `flatten`: GCC leaves the body a function of its own otherwise.
template <class T>
[[gnu::flatten]] void gelu(const T* x, T* y, std::int64_t count) {
  map_vectors(count,
              [=](auto lanes, std::int64_t i) { lanes.store(y + i, gelu_of(lanes.load(x + i))); });
}

template <class T>
[[gnu::flatten]] void gelu_grad(const T* x, const T* dy, T* dx, std::int64_t count, bool add) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec gradient = lanes.load(dy + i) * gelu_slope(lanes.load(x + i));
    lanes.store(dx + i, add ? lanes.load(dx + i) + gradient : gradient);
  });
}

template void gelu(const float*, float*, std::int64_t);
template void gelu(const BFloat16*, BFloat16*, std::int64_t);
template void gelu_grad(const float*, const float*, float*, std::int64_t, bool);
template void gelu_grad(const BFloat16*, const BFloat16*, BFloat16*, std::int64_t, bool);

}  // namespace kiln::cpu::KILN_ISA
