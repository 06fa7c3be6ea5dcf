// log_softmax_grad on a GPU: one warp a row. Floor: 12 bytes an element in f32, 6 in 16 bits,
// and one exp.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/log_softmax_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Rows {
  const T *y, *dy;
  T* dx;
  std::int64_t classes;
  bool add;
};

template <class T>
__global__ void log_softmax_grad_row_per_warp(std::int64_t rows, Rows<T> a) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  const std::int64_t first = row * a.classes;
  Accumulated<T> total = 0;
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp) total += widened(a.dy[first + k]);
  total = warp_reduce(total, Sum{});
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp)
    write_gradient(a.dx + first + k,
                   widened(a.dy[first + k]) - std::exp(widened(a.y[first + k])) * total, a.add);
}

}  // namespace

void log_softmax_grad(Context& c, const LogSoftmaxGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.y, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(c, "log_softmax_grad", log_softmax_grad_row_per_warp<T>, a.y.shape()[0],
                Rows<T>{a.y.data<T>(), a.dy.data<T>(), a.dx.data<T>(), a.y.shape()[1],
                        a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
