#include "kernels/cpu/gelu_simd.h"

#include "kernels/cpu/simd_math.h"

namespace kiln::cpu::KILN_ISA {
namespace {

struct Normal {
  Vec cdf;   // Phi(x)
  Vec bell;  // exp(-x^2 / 2)
};

// With a = |x|, Phi(-a) = exp(-a^2/2) P(t) / (1 + 2a), t = (a - 4) / (a + 4), where P has degree 10
// and relative error 3.2e-9 on 0 <= a <= 15 (weighted least squares at Chebyshev nodes; the
// substitution is that of N. Juffa's erfcx). exp sees a^2 in two parts, so that Phi keeps a
// relative error of 3e-7 even where it is 1e-30. Phi(a) = 1 - Phi(-a).
inline Normal normal_of(Vec x) {
  Vec a = x < Vec{} ? -x : x;
  a = a > broadcast(15.0f) ? broadcast(15.0f) : a;
  const Vec square = a * a;
  const Vec rest = fused(a, a, -square);
  const Vec e = exp_of(square * -0.5f);
  const Vec bell = fmadd(e, rest * -0.5f, e);

  const Vec t = (a - 4.0f) / (a + 4.0f);
  constexpr float kP[] = {-1.47992513e-4f, -6.07596852e-5f, 1.55884035e-3f,  -1.26065971e-3f,
                          -1.05142802e-2f, 4.43767334e-2f,  -9.52592351e-2f, 1.28906903e-1f,
                          -9.63800881e-2f, -2.30091980e-2f, 8.49695773e-1f};
  Vec p = broadcast(kP[0]);
  for (int i = 1; i <= 10; ++i) p = fmadd(p, t, broadcast(kP[i]));
  const Vec tail = bell * (p / (a + a + 1.0f));
  return {x < Vec{} ? tail : 1.0f - tail, bell};
}

}  // namespace

void gelu_f32(const float* x, float* y, std::int64_t count) {
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec value = lanes.load(x + i);
    lanes.store(y + i, value * normal_of(value).cdf);
  });
}

void gelu_grad_f32(const float* x, const float* dy, float* dx, std::int64_t count, bool add) {
  const Vec peak = broadcast(0.39894228040143267794f);  // 1 / sqrt(2 pi)
  map_vectors(count, [=](auto lanes, std::int64_t i) {
    const Vec value = lanes.load(x + i);
    const Normal normal = normal_of(value);
    const Vec gradient = lanes.load(dy + i) * fmadd(value * peak, normal.bell, normal.cdf);
    lanes.store(dx + i, add ? lanes.load(dx + i) + gradient : gradient);
  });
}

}  // namespace kiln::cpu::KILN_ISA
