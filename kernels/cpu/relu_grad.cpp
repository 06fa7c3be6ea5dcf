#include "kernels/include/relu_grad.h"

#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

void relu_grad(Context& c, const ReluGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  const bool add = a.mode == GradWrite::accumulate;
  map_ranges(c, a.dx.element_count(), kMapGrain, 16, [&](Range range) {
    if (visit_vectorised(a.dx.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(relu_grad(a.y.data<T>() + range.begin, a.dy.data<T>() + range.begin,
                                  a.dx.data<T>() + range.begin, range.count(), add));
        }))
      return;
    const double* y = a.y.data<double>();
    const double* dy = a.dy.data<double>();
    double* dx = a.dx.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i)
      dx[i] = (add ? dx[i] : 0.0) + (y[i] > 0 ? dy[i] : 0.0);
  });
}

}  // namespace kiln::cpu
