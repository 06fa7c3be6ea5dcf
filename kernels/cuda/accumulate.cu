// accumulate on a GPU: 12 bytes an element in f32, 6 in 16 bits, and one addition.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/accumulate.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Summand {
  __device__ Accumulated<T> operator()(std::int64_t, Accumulated<T> x) const { return x; }
};

}  // namespace

void accumulate(Context& c, const AccumulateArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map_elements(c, "accumulate", a.x.element_count(), true, a.y.data<T>(), Summand<T>{},
                 a.x.data<const T>());
  });
}

}  // namespace kiln::cuda
