#include "kernels/include/gelu_grad.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/gelu_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

void gelu_grad(Context& c, const GeluGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  const bool add = a.mode == GradWrite::accumulate;
  map_ranges(c, a.dx.element_count(), kMapGrain / 4, 16, [&](Range range) {
    if (visit_vectorised(a.dx.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(gelu_grad(a.x.data<T>() + range.begin, a.dy.data<T>() + range.begin,
                                  a.dx.data<T>() + range.begin, range.count(), add));
        }))
      return;
    const double* x = a.x.data<double>();
    const double* dy = a.dy.data<double>();
    double* dx = a.dx.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i)
      dx[i] = (add ? dx[i] : 0.0) + dy[i] * gelu_slope(x[i]);
  });
}

}  // namespace kiln::cpu
