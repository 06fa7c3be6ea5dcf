// avgpool_grad on a GPU: one thread an element of dx, which gathers from the windows that hold it.
// Floor: dy read and dx written once, 4 bytes an element of both in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/avgpool_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct AvgpoolGrad {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* dy;
  T* dx;
  bool add, count_include_pad;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, s.h, s.w, s.c);
    const WindowRange rows = windows_over(at.h, s.stride_h, s.pad_h, s.r, p_count);
    const WindowRange columns = windows_over(at.w, s.stride_w, s.pad_w, s.s, q_count);
    Accumulated<T> sum = add ? widened(dx[i]) : Accumulated<T>(0);
    for (std::int64_t p = rows.first; p < rows.end; ++p)
      for (std::int64_t q = columns.first; q < columns.end; ++q) {
        const std::int64_t output = ((at.n * p_count + p) * q_count + q) * s.c + at.c;
        const auto divisor = window_divisor(s, p, q, count_include_pad);
        sum += widened(dy[output]) / static_cast<Accumulated<T>>(divisor);
      }
    dx[i] = stored<T>(sum);
  }
};

}  // namespace

void avgpool_grad(Context& c, const AvgpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    map(c, "avgpool_grad", a.dx.element_count(),
        AvgpoolGrad<T>{a.shape, a.shape.p(), a.shape.q(), a.dy.data<T>(), a.dx.data<T>(),
                       a.mode == GradWrite::accumulate, a.count_include_pad});
  });
}

}  // namespace kiln::cuda
