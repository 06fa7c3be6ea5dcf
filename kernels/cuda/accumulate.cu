// accumulate on a GPU: one thread an element; 8 bytes read and 4 written each in f32.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/accumulate.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Accumulate {
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t i) const { y[i] += x[i]; }
};

}  // namespace

void accumulate(Context& c, const AccumulateArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "accumulate", a.x.element_count(), Accumulate<T>{a.x.data<T>(), a.y.data<T>()});
  });
}

}  // namespace kiln::cuda
