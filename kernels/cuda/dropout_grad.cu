// dropout_grad on a GPU: one thread an element, the mask computed again.
#include "kernels/cuda/dropout_units.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/dropout_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct DropoutGrad {
  DropoutUnits units;
  const T* dy;
  T* dx;
  bool add;
  __device__ void operator()(std::int64_t i) const {
    write_gradient(dx + i, dy[i] * static_cast<T>(units.factor(i)), add);
  }
};

}  // namespace

void dropout_grad(Context& c, const DropoutGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    map(c, "dropout_grad", a.dy.element_count(),
        DropoutGrad<T>{dropout_units(a, a.dy.shape()), a.dy.data<T>(), a.dx.data<T>(),
                       a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
