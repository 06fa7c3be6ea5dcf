// dropout on a GPU: 8 bytes an element in f32, 4 in 16 bits, and a Philox block of about 60 integer
// operations for the mask, computed on the spot.
#include "kernels/cuda/dropout_units.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/dropout.h"

namespace kiln::cuda {

void dropout(Context& c, const DropoutArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map_elements(c, "dropout", a.x.element_count(), false, a.y.data<T>(),
                 Masked<T>{dropout_units(a, a.x.shape())}, a.x.data<const T>());
  });
}

}  // namespace kiln::cuda
