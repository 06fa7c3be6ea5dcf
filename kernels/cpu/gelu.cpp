#include "kernels/include/gelu.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/gelu_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

void gelu(Context& c, const GeluArgs& a) {
  map_ranges(c, a.x.element_count(), kMapGrain / 4, 16, [&](Range range) {
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(
              gelu(a.x.data<T>() + range.begin, a.y.data<T>() + range.begin, range.count()));
        }))
      return;
    const double* x = a.x.data<double>();
    double* y = a.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i) y[i] = gelu_of(x[i]);
  });
}

}  // namespace kiln::cpu
