// cast on a GPU: between f32 and 16 bits 6 bytes an element, and one conversion.
#include "kernels/cuda/elementwise.h"
#include "kernels/include/cast.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Converted {
  template <class Wide>
  __device__ Accumulated<T> operator()(std::int64_t, Wide x) const {
    return static_cast<Accumulated<T>>(x);
  }
};

}  // namespace

void cast(Context& c, const CastArgs& a) {
  visit_type(a.x, [&](auto from) {
    visit_type(a.y, [&](auto to) {
      using T = decltype(to);
      map_elements(c, "cast", a.x.element_count(), false, a.y.data<T>(), Converted<T>{},
                   a.x.data<const decltype(from)>());
    });
  });
}

}  // namespace kiln::cuda
