// gelu_grad on a GPU: one thread an element.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gelu_math.h"
#include "kernels/include/gelu_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct GeluGrad {
  const T *x, *dy;
  T* dx;
  bool add;
  __device__ void operator()(std::int64_t i) const {
    const T value = static_cast<T>(static_cast<double>(dy[i]) * gelu_derivative(x[i]));
    write_gradient(dx + i, value, add);
  }
};

}  // namespace

void gelu_grad(Context& c, const GeluGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "gelu_grad", a.x.element_count(),
        GeluGrad<T>{a.x.data<T>(), a.dy.data<T>(), a.dx.data<T>(),
                    a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
