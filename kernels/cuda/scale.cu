// scale on a GPU: 8 bytes an element in f32, 4 in 16 bits, and one multiplication.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/scale.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Scale {
  Accumulated<T> factor;
  __device__ Accumulated<T> operator()(std::int64_t, Accumulated<T> x) const { return factor * x; }
};

}  // namespace

void scale(Context& c, const ScaleArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map_elements(c, "scale", a.x.element_count(), a.mode == GradWrite::accumulate, a.y.data<T>(),
                 Scale<T>{static_cast<Accumulated<T>>(a.factor)}, a.x.data<const T>());
  });
}

}  // namespace kiln::cuda
