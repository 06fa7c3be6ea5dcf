#include "kernels/include/relu_grad.h"

#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {

void relu_grad(Context& c, const ReluGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  const bool add = a.mode == GradWrite::accumulate;
  map_ranges(c, a.dx.element_count(), kMapGrain, 16, [&](Range range) {
    if (a.dx.dtype() == DType::f32) {
      KILN_CALL_ISA(relu_grad_f32(a.y.data<float>() + range.begin, a.dy.data<float>() + range.begin,
                                  a.dx.data<float>() + range.begin, range.count(), add));
      return;
    }
    const double* y = a.y.data<double>();
    const double* dy = a.dy.data<double>();
    double* dx = a.dx.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i)
      dx[i] = (add ? dx[i] : 0.0) + (y[i] > 0 ? dy[i] : 0.0);
  });
}

}  // namespace kiln::cpu
