#include "kernels/include/accumulate.h"

#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

void accumulate(Context& c, const AccumulateArgs& a) {
  map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
    if (a.grid != 0.0)
      return KILN_CALL_ISA(add_on_grid_f32(a.x.data<float>() + range.begin,
                                           a.y.data<double>() + range.begin, range.count(),
                                           a.grid));
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          T* y = a.y.data<T>() + range.begin;
          KILN_CALL_ISA(add(static_cast<const T*>(a.x.data<T>() + range.begin),
                            static_cast<const T*>(y), y, range.count()));
        }))
      return;
    const double* x = a.x.data<double>();
    double* y = a.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i) y[i] += x[i];
  });
}

}  // namespace kiln::cpu
