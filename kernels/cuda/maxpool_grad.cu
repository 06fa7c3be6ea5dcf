// maxpool_grad on a GPU: one thread an element of dx, which gathers from the windows that hold it.
// Floor: 4 bytes an element of dy and dx in f32, 2 in 16 bits, and a byte of index.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/maxpool_grad.h"

namespace kiln::cuda {
namespace {

template <class T>
struct MaxpoolGrad {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const std::uint8_t* index;
  const T* dy;
  T* dx;
  bool add;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, s.h, s.w, s.c);
    const WindowRange rows = windows_over(at.h, s.stride_h, s.pad_h, s.r, p_count);
    const WindowRange columns = windows_over(at.w, s.stride_w, s.pad_w, s.s, q_count);
    Accumulated<T> sum = add ? widened(dx[i]) : Accumulated<T>(0);
    for (std::int64_t p = rows.first; p < rows.end; ++p)
      for (std::int64_t q = columns.first; q < columns.end; ++q) {
        const std::int64_t output = ((at.n * p_count + p) * q_count + q) * s.c + at.c;
        const std::int64_t r = at.h + s.pad_h - p * s.stride_h, t = at.w + s.pad_w - q * s.stride_w;
        if (index[output] == r * s.s + t) sum += widened(dy[output]);
      }
    dx[i] = stored<T>(sum);
  }
};

}  // namespace

void maxpool_grad(Context& c, const MaxpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    map(c, "maxpool_grad", a.dx.element_count(),
        MaxpoolGrad<T>{a.shape, a.shape.p(), a.shape.q(), a.index.data<std::uint8_t>(),
                       a.dy.data<T>(), a.dx.data<T>(), a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
