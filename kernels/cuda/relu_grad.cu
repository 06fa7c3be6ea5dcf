// relu_grad on a GPU: one thread an element; 8 bytes read and 4 written each in f32.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/relu_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct ReluGrad {
  const T *y, *dy;
  T* dx;
  bool add;
  __device__ void operator()(std::int64_t i) const {
    write_gradient(dx + i, y[i] > T(0) ? dy[i] : T(0), add);
  }
};

}  // namespace

void relu_grad(Context& c, const ReluGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.y, [&](auto zero) {
    using T = decltype(zero);
    map(c, "relu_grad", a.y.element_count(),
        ReluGrad<T>{a.y.data<T>(), a.dy.data<T>(), a.dx.data<T>(),
                    a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
