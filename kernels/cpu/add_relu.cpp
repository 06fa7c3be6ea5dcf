#include "kernels/include/add_relu.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"

namespace kiln::cpu {
namespace {

void add_f32_range(const AddReluArgs& args, Range range) {
  const float* a = args.a.data<float>() + range.begin;
  const float* b = args.b.data<float>() + range.begin;
  float* y = args.y.data<float>() + range.begin;
  if (args.activation == Activation::relu)
    KILN_CALL_ISA(add_relu_f32(a, b, y, range.count()));
  else
    KILN_CALL_ISA(add_f32(a, b, y, range.count()));
}

}  // namespace

void add_relu(Context& c, const AddReluArgs& args) {
  map_ranges(c, args.y.element_count(), kMapGrain, 16, [&](Range range) {
    if (args.y.dtype() == DType::f32) return add_f32_range(args, range);
    const double* a = args.a.data<double>();
    const double* b = args.b.data<double>();
    double* y = args.y.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i)
      y[i] = activated(a[i] + b[i], args.activation);
  });
}

}  // namespace kiln::cpu
