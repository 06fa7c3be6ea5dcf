// linear on a GPU: y = act(x w^T + bias) as one matrix product. Floor: 2 N I O operations; x,
// w and y once through memory are 4 bytes an element in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gemm.h"
#include "kernels/include/linear.h"

namespace kiln::cuda {

void linear(Context& c, const LinearArgs& a) {
  const std::int64_t rows = a.x.shape()[0], inputs = a.w.shape()[1], outputs = a.w.shape()[0];
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    gemm<T>(c, "linear",
            {.a = a.x.data<T>(),
             .b = a.w.data<T>(),
             .c = a.y.data<T>(),
             .start = optional_data<T>(a.bias),
             .m = rows,
             .n = outputs,
             .k = inputs,
             .a_m = inputs,
             .a_k = 1,
             .b_k = 1,
             .b_n = inputs,
             .activation = a.activation});
  });
}

}  // namespace kiln::cuda
