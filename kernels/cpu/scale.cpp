#include "kernels/include/scale.h"

#include "kernels/common/ranges.h"

namespace kiln::cpu {

void scale(Context& c, const ScaleArgs& a) {
  visit_float(a.x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T factor = static_cast<T>(a.factor);
    const T* x = a.x.data<T>();
    T* y = a.y.data<T>();
    const bool add = a.mode == GradWrite::accumulate;
    map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        const T value = factor * x[i];
        y[i] = add ? y[i] + value : value;
      }
    });
  });
}

}  // namespace kiln::cpu
