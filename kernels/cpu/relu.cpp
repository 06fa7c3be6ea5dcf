#include "kernels/include/relu.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {

void relu(Context& c, const ReluArgs& a) {
  map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
    if (visit_vectorised(a.x.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(
              relu(a.x.data<T>() + range.begin, a.y.data<T>() + range.begin, range.count()));
        }))
      return;
    const double* x = a.x.data<double>();
    double* y = a.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i) y[i] = relu_of(x[i]);
  });
}

}  // namespace kiln::cpu
