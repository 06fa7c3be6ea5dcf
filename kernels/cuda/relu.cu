// relu on a GPU: one thread an element; reads 4 and writes 4 bytes each in f32.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/relu.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Relu {
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[i] = relu_of(x[i]); }
};

}  // namespace

void relu(Context& c, const ReluArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "relu", a.x.element_count(), Relu<T>{a.x.data<T>(), a.y.data<T>()});
  });
}

}  // namespace kiln::cuda
