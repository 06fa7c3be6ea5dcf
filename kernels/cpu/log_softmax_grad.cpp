#include "kernels/include/log_softmax_grad.h"

#include <cmath>

#include "kernels/common/ranges.h"
#include "kernels/cpu/softmax_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {
namespace {

void row_f64(const double* y, const double* dy, double* dx, std::int64_t class_count, bool add) {
  double total = 0;
  for (std::int64_t k = 0; k < class_count; ++k) total += dy[k];
  for (std::int64_t k = 0; k < class_count; ++k)
    dx[k] = (add ? dx[k] : 0.0) + (dy[k] - std::exp(y[k]) * total);
}

}  // namespace

void log_softmax_grad(Context& c, const LogSoftmaxGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  const bool add = a.mode == GradWrite::accumulate;
  const std::int64_t classes = a.y.shape()[1];
  map_ranges(c, a.y.shape()[0], kMapGrain / (8 * classes) + 1, 1, [&](Range range) {
    if (visit_vectorised(a.y.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(log_softmax_grad_rows(a.y.data<T>(), a.dy.data<T>(), a.dx.data<T>(),
                                              classes, range.begin, range.end, add));
        }))
      return;
    for (std::int64_t n = range.begin; n < range.end; ++n)
      row_f64(a.y.data<double>() + n * classes, a.dy.data<double>() + n * classes,
              a.dx.data<double>() + n * classes, classes, add);
  });
}

}  // namespace kiln::cpu
