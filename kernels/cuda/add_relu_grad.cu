// add_relu_grad on a GPU: 12 bytes an element in f32, 6 in 16 bits, and one comparison.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/open_gradient.h"
#include "kernels/include/add_relu_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Copied {
  __device__ Accumulated<T> operator()(std::int64_t, Accumulated<T> dy) const { return dy; }
};

}  // namespace

void add_relu_grad(Context& c, const AddReluGradArgs& a) {
  const std::int64_t count = a.dy.element_count();
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    T* dsum = a.dsum.data<T>();
    if (a.activation == Activation::relu)
      map_elements(c, "add_relu_grad", count, false, dsum, OpenGradient<T>{}, a.y.data<const T>(),
                   a.dy.data<const T>());
    else
      map_elements(c, "add_relu_grad", count, false, dsum, Copied<T>{}, a.dy.data<const T>());
  });
}

}  // namespace kiln::cuda
