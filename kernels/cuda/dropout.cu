// dropout on a GPU: one thread an element, the mask computed on the spot.
#include "kernels/cuda/dropout_units.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/dropout.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Dropout {
  DropoutUnits units;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = x[i] * static_cast<T>(units.factor(i));
  }
};

}  // namespace

void dropout(Context& c, const DropoutArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "dropout", a.x.element_count(),
        Dropout<T>{dropout_units(a, a.x.shape()), a.x.data<T>(), a.y.data<T>()});
  });
}

}  // namespace kiln::cuda
