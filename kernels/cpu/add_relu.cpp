#include "kernels/include/add_relu.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {
namespace {

template <class T>
void add_range(const AddReluArgs& args, Range range) {
  const T* a = args.a.data<T>() + range.begin;
  const T* b = args.b.data<T>() + range.begin;
  T* y = args.y.data<T>() + range.begin;
  if (args.activation == Activation::relu)
    KILN_CALL_ISA(add_relu(a, b, y, range.count()));
  else
    KILN_CALL_ISA(add(a, b, y, range.count()));
}

}  // namespace

void add_relu(Context& c, const AddReluArgs& args) {
  map_ranges(c, args.y.element_count(), kMapGrain, 16, [&](Range range) {
    if (visit_vectorised(args.y.dtype(),
                         [&](auto zero) { add_range<decltype(zero)>(args, range); }))
      return;
    const double* a = args.a.data<double>();
    const double* b = args.b.data<double>();
    double* y = args.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i)
      y[i] = activated(a[i] + b[i], args.activation);
  });
}

}  // namespace kiln::cpu
