// add_relu on a GPU: one thread an element; 8 bytes read and 4 written each in f32.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/add_relu.h"

namespace kiln::cuda {
namespace {

template <class T>
struct AddRelu {
  const T *a, *b;
  T* y;
  Activation activation;
  __device__ void operator()(std::int64_t i) const { y[i] = activated(a[i] + b[i], activation); }
};

}  // namespace

void add_relu(Context& c, const AddReluArgs& a) {
  visit_type(a.a, [&](auto zero) {
    using T = decltype(zero);
    map(c, "add_relu", a.a.element_count(),
        AddRelu<T>{a.a.data<T>(), a.b.data<T>(), a.y.data<T>(), a.activation});
  });
}

}  // namespace kiln::cuda
