#include "kernels/include/add_relu_grad.h"

#include <cstring>

#include "kernels/common/ranges.h"
#include "kernels/cpu/pointwise_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln::cpu {
namespace {

void copy(Context& c, const Tensor& from, const Tensor& to) {
  if (from.raw() == to.raw()) return;
  const auto size = static_cast<std::int64_t>(size_of(from.dtype()));
  map_ranges(c, from.element_count(), kMapGrain, 16, [&](Range range) {
    std::memcpy(static_cast<std::byte*>(to.raw()) + range.begin * size,
                static_cast<const std::byte*>(from.raw()) + range.begin * size,
                static_cast<std::size_t>(range.count() * size));
  });
}

}  // namespace

void add_relu_grad(Context& c, const AddReluGradArgs& a) {
  if (a.activation == Activation::none) return copy(c, a.dy, a.dsum);
  map_ranges(c, a.dy.element_count(), kMapGrain, 16, [&](Range range) {
    if (visit_vectorised(a.dy.dtype(), [&](auto zero) {
          using T = decltype(zero);
          KILN_CALL_ISA(relu_grad(a.y.data<T>() + range.begin, a.dy.data<T>() + range.begin,
                                  a.dsum.data<T>() + range.begin, range.count(), false));
        }))
      return;
    const double* y = a.y.data<double>();
    const double* dy = a.dy.data<double>();
    double* dsum = a.dsum.data<double>();
    for (std::int64_t i = range.begin; i < range.end; ++i) dsum[i] = y[i] > 0 ? dy[i] : 0.0;
  });
}

}  // namespace kiln::cpu
