#include "kernels/include/cast.h"

#include "kernels/common/ranges.h"

namespace kiln::cpu {

void cast(Context& c, const CastArgs& a) {
  visit_float(a.x.dtype(), [&](auto from) {
    visit_float(a.y.dtype(), [&](auto to) {
      const auto* x = a.x.data<const decltype(from)>();
      auto* y = a.y.data<decltype(to)>();
      map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
        for (std::int64_t i = range.begin; i < range.end; ++i)
          y[i] = static_cast<decltype(to)>(x[i]);
      });
    });
  });
}

}  // namespace kiln::cpu
