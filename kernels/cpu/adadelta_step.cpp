#include "kernels/include/adadelta_step.h"

#include <cmath>

#include "kernels/common/ranges.h"
#include "kernels/cpu/optimizer_copy.h"
#include "kernels/cpu/optimizer_simd.h"

namespace kiln::cpu {
namespace {

void step_f32(const AdadeltaStepArgs& a, Range range) {
  const AdadeltaNumbers numbers{.minus_lr = static_cast<float>(-a.lr),
                                .rho = static_cast<float>(a.rho),
                                .rest = static_cast<float>(1 - a.rho),
                                .eps = static_cast<float>(a.eps),
                                .decay = static_cast<float>(a.weight_decay),
                                .use_decay = a.weight_decay != 0};
  KILN_CALL_ISA(adadelta_f32(numbers, a.w.data<float>() + range.begin,
                             a.grad.data<float>() + range.begin,
                             a.square_avg.data<float>() + range.begin,
                             a.acc_delta.data<float>() + range.begin, range.count()));
  write_copy(a.w, a.copy, range);
}

void step_f64(const AdadeltaStepArgs& a, Range range) {
  double* w = a.w.data<double>();
  const double* grad = a.grad.data<double>();
  double* square = a.square_avg.data<double>();
  double* acc = a.acc_delta.data<double>();
  const double rest = 1 - a.rho;
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const double g = a.weight_decay != 0 ? std::fma(a.weight_decay, w[i], grad[i]) : grad[i];
    square[i] = std::fma(rest * g, g, square[i] * a.rho);
    const double delta = std::sqrt(acc[i] + a.eps) / std::sqrt(square[i] + a.eps) * g;
    acc[i] = std::fma(rest * delta, delta, acc[i] * a.rho);
    w[i] = std::fma(-a.lr, delta, w[i]);
  }
}

}  // namespace

void adadelta_step(Context& c, const AdadeltaStepArgs& a) {
  map_ranges(c, a.w.element_count(), kMapGrain, 16, [&](Range range) {
    a.w.dtype() == DType::f32 ? step_f32(a, range) : step_f64(a, range);
  });
}

}  // namespace kiln::cpu
