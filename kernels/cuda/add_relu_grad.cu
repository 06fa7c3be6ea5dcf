// add_relu_grad on a GPU: one thread an element; 8 bytes read and 4 written each in f32.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/add_relu_grad.h"

namespace kiln::cuda {
namespace {

// y is null without an activation.
template <class T>
struct AddReluGrad {
  const T *y, *dy;
  T* dsum;
  __device__ void operator()(std::int64_t i) const {
    dsum[i] = y == nullptr || y[i] > T(0) ? dy[i] : T(0);
  }
};

}  // namespace

void add_relu_grad(Context& c, const AddReluGradArgs& a) {
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    const T* y = a.activation == Activation::relu ? a.y.data<T>() : nullptr;
    map(c, "add_relu_grad", a.dy.element_count(),
        AddReluGrad<T>{y, a.dy.data<T>(), a.dsum.data<T>()});
  });
}

}  // namespace kiln::cuda
