// gelu on a GPU: one thread an element.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gelu_math.h"
#include "kernels/include/gelu.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Gelu {
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[i] = gelu_value(x[i]); }
};

}  // namespace

void gelu(Context& c, const GeluArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "gelu", a.x.element_count(), Gelu<T>{a.x.data<T>(), a.y.data<T>()});
  });
}

}  // namespace kiln::cuda
