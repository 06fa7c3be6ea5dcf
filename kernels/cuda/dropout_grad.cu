// dropout_grad on a GPU: as dropout, the mask computed again; 4 (2) bytes more where it adds.
#include "kernels/cuda/dropout_units.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/dropout_grad.h"

namespace kiln::cuda {

void dropout_grad(Context& c, const DropoutGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    map_elements(c, "dropout_grad", a.dy.element_count(), a.mode == GradWrite::accumulate,
                 a.dx.data<T>(), Masked<T>{dropout_units(a, a.dy.shape())}, a.dy.data<const T>());
  });
}

}  // namespace kiln::cuda
