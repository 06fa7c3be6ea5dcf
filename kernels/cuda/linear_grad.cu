// linear_grad on a GPU: dz first, then two matrix products and a sum of columns. Floor: 4 N I O
// operations; x, w, dy, dx and dw once through memory are 4 bytes an element in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/open_gradient.h"
#include "kernels/include/linear_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct ColumnSum {
  const T* dz;
  T* dbias;
  std::int64_t rows, outputs;
  bool add;
  __device__ void operator()(std::int64_t o) const {
    Accumulated<T> sum = 0;
    for (std::int64_t n = 0; n < rows; ++n) sum += widened(dz[n * outputs + o]);
    write_gradient(dbias + o, sum, add);
  }
};

template <class T>
const T* masked(Context& c, const LinearGradArgs& a) {
  if (a.activation == Activation::none) return a.dy.data<T>();
  T* dz = reinterpret_cast<T*>(a.scratch);
  map_elements(c, "linear_grad", a.dy.element_count(), false, dz, OpenGradient<T>{},
               a.y.data<const T>(), a.dy.data<const T>());
  return dz;
}

template <class T>
void run(Context& c, const LinearGradArgs& a) {
  const std::int64_t rows = a.x.shape()[0], inputs = a.w.shape()[1], outputs = a.w.shape()[0];
  const T* dz = masked<T>(c, a);
  if (a.wants_dx())
    gemm<T>(c, "linear_grad",
            {.a = dz,
             .b = a.w.data<T>(),
             .c = a.dx.data<T>(),
             .m = rows,
             .n = inputs,
             .k = outputs,
             .a_m = outputs,
             .a_k = 1,
             .b_k = inputs,
             .b_n = 1,
             .add = a.mode == GradWrite::accumulate});
  gemm<T>(c, "linear_grad",
          {.a = dz,
           .b = a.x.data<T>(),
           .c = a.dw.data<T>(),
           .m = outputs,
           .n = inputs,
           .k = rows,
           .a_m = 1,
           .a_k = outputs,
           .b_k = inputs,
           .b_n = 1,
           .add = a.accumulate_parameters});
  if (!a.dbias.empty())
    map(c, "linear_grad", outputs,
        ColumnSum<T>{dz, a.dbias.data<T>(), rows, outputs, a.accumulate_parameters});
}

}  // namespace

void linear_grad(Context& c, const LinearGradArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
