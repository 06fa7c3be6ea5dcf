// avgpool_grad on a GPU: one thread a pack of 16 bytes of dx along the channels, or one
// element; it gathers from the windows that hold it.
// Floor: dy read and dx written once, 4 bytes an element of both in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/avgpool_grad.h"

namespace kiln::cuda {
namespace {

template <class T, int count>
struct AvgpoolGrad {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* dy;
  T* dx;
  bool add, count_include_pad;

  __device__ void operator()(std::int64_t pack) const {
    const Place at = place_of(pack * count, s.h, s.w, s.c);
    const WindowRange rows = windows_over(at.h, s.stride_h, s.pad_h, s.r, p_count);
    const WindowRange columns = windows_over(at.w, s.stride_w, s.pad_w, s.s, q_count);
    Accumulated<T> sum[count] = {};
    if (add) {
      const Pack<T, count> before = load_pack<count>(dx + pack * count);
      for (int k = 0; k < count; ++k) sum[k] = widened(before.at[k]);
    }
    for (std::int64_t p = rows.first; p < rows.end; ++p)
      for (std::int64_t q = columns.first; q < columns.end; ++q) {
        const Pack<T, count> gradients =
            load_pack<count>(dy + ((at.n * p_count + p) * q_count + q) * s.c + at.c);
        const auto divisor =
            static_cast<Accumulated<T>>(window_divisor(s, p, q, count_include_pad));
        for (int k = 0; k < count; ++k) sum[k] += widened(gradients.at[k]) / divisor;
      }
    Pack<T, count> to;
    for (int k = 0; k < count; ++k) to.at[k] = stored<T>(sum[k]);
    store_pack(dx + pack * count, to);
  }
};

}  // namespace

void avgpool_grad(Context& c, const AvgpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    const T* dy = a.dy.data<T>();
    T* dx = a.dx.data<T>();
    with_channel_pack<T>(
        a.shape.c,
        [&](auto count) {
          map(c, "avgpool_grad", a.dx.element_count() / count(),
              AvgpoolGrad<T, count()>{a.shape, a.shape.p(), a.shape.q(), dy, dx,
                                      a.mode == GradWrite::accumulate, a.count_include_pad});
        },
        dy, dx);
  });
}

}  // namespace kiln::cuda
