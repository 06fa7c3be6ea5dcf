#include "kernels/include/scale.h"

#include "kernels/common/converted.h"
#include "kernels/common/ranges.h"

namespace kiln::cpu {

void scale(Context& c, const ScaleArgs& a) {
  visit_storage(a.x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using Sum = Accumulated<T>;
    const auto factor = static_cast<Sum>(a.factor);
    const T* x = a.x.data<T>();
    T* y = a.y.data<T>();
    const bool add = a.mode == GradWrite::accumulate;
    map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        const Sum value = factor * converted<Sum>(x[i]);
        y[i] = converted<T>(add ? converted<Sum>(y[i]) + value : value);
      }
    });
  });
}

}  // namespace kiln::cpu
