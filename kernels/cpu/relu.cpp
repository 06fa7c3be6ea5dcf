#include "kernels/include/relu.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {

void relu(Context& c, const ReluArgs& a) {
  map_ranges(c, a.x.element_count(), kMapGrain, 16, [&](Range range) {
    if (a.x.dtype() == DType::f32) {
      KILN_CALL_ISA(relu_f32(a.x.data<float>() + range.begin, a.y.data<float>() + range.begin,
                             range.count()));
      return;
    }
    const double* x = a.x.data<double>();
    double* y = a.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i) y[i] = relu_of(x[i]);
  });
}

}  // namespace kiln::cpu
