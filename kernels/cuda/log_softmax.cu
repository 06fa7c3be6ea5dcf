// log_softmax on a GPU: one warp a row. Floor: 8 bytes an element in f32, 4 in 16 bits, and one
// exp.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/log_softmax.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Rows {
  const T* x;
  T* y;
  std::int64_t classes;
};

template <class T>
__global__ void log_softmax_row_per_warp(std::int64_t rows, Rows<T> a) {
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;  // a whole warp leaves or none
  const T* x = a.x + row * a.classes;
  T* y = a.y + row * a.classes;
  const Accumulated<T> largest = row_maximum(x, a.classes);
  Accumulated<T> total = 0;
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp)
    total += std::exp(widened(x[k]) - largest);
  const Accumulated<T> log_total = std::log(warp_reduce(total, Sum{}));
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp)
    y[k] = stored<T>(widened(x[k]) - largest - log_total);
}

}  // namespace

void log_softmax(Context& c, const LogSoftmaxArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(c, "log_softmax", log_softmax_row_per_warp<T>, a.x.shape()[0],
                Rows<T>{a.x.data<T>(), a.y.data<T>(), a.x.shape()[1]});
  });
}

}  // namespace kiln::cuda
