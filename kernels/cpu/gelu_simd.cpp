#include "kernels/cpu/gelu_simd.h"

#include "kernels/cpu/simd_gelu.h"

namespace kiln::cpu::KILN_ISA {

// `flatten`: GCC leaves the body a function of its own otherwise.
[[gnu::flatten]] void gelu_f32(const float* x, float* y, std::int64_t count) {
  map_vectors(count,
              [=](auto lanes, std::int64_t i) { lanes.store(y + i, gelu_of(lanes.load(x + i))); });
}

[[gnu::flatten]] void gelu_grad_f32(const float* x, const float* dy, float* dx, std::int64_t count,
                                    bool add) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec gradient = lanes.load(dy + i) * gelu_slope(lanes.load(x + i));
    lanes.store(dx + i, add ? lanes.load(dx + i) + gradient : gradient);
  });
}

}  // namespace kiln::cpu::KILN_ISA
