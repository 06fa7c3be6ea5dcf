#include "kernels/include/log_softmax.h"

#include <cmath>

#include "kernels/common/ranges.h"
#include "kernels/cpu/softmax_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {
namespace {

void row_f64(const double* x, double* y, std::int64_t class_count) {
  double largest = x[0];
  for (std::int64_t k = 1; k < class_count; ++k)
    if (x[k] > largest || x[k] != x[k]) largest = x[k];
  double total = 0;
  for (std::int64_t k = 0; k < class_count; ++k) total += std::exp(x[k] - largest);
  const double log_total = std::log(total);
  for (std::int64_t k = 0; k < class_count; ++k) y[k] = x[k] - largest - log_total;
}

}  // namespace

void log_softmax(Context& c, const LogSoftmaxArgs& a) {
  const std::int64_t classes = a.x.shape()[1];
  map_ranges(c, a.x.shape()[0], kMapGrain / (8 * classes) + 1, 1, [&](Range range) {
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(
              log_softmax_rows(a.x.data<T>(), a.y.data<T>(), classes, range.begin, range.end));
        }))
      return;
    for (std::int64_t n = range.begin; n < range.end; ++n)
      row_f64(a.x.data<double>() + n * classes, a.y.data<double>() + n * classes, classes);
  });
}

}  // namespace kiln::cpu
