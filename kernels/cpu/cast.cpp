#include "kernels/include/cast.h"

#include "kernels/common/converted.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {
namespace {

template <class From, class To>
void convert(const From* x, To* y, std::int64_t count) {
  if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, float>)
    KILN_CALL_ISA(widen(x, y, count));
  else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, BFloat16>)
    KILN_CALL_ISA(narrow(x, y, count));
  else
    for (std::int64_t i = 0; i < count; ++i) y[i] = converted<To>(x[i]);
}

}  // namespace

void cast(Context& c, const CastArgs& a) {
  visit_storage(a.x.dtype(), [&](auto from) {
    visit_storage(a.y.dtype(), [&](auto to) {
      const auto* x = a.x.data<const decltype(from)>();
      auto* y = a.y.data<decltype(to)>();
      map_ranges(c, a.x.element_count(), kMapGrain, 16,
                 [&](Range range) { convert(x + range.begin, y + range.begin, range.count()); });
    });
  });
}

}  // namespace kiln::cpu
