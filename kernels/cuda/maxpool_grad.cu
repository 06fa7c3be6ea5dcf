// maxpool_grad on a GPU: one thread a pack of 16 bytes of dx along the channels, or one
// element; it gathers from the windows that hold it.
// Floor: 4 bytes an element of dy and dx in f32, 2 in 16 bits, and a byte of index.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/maxpool_grad.h"

namespace kiln::cuda {
namespace {

template <class T, int count>
struct MaxpoolGrad {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const std::uint8_t* index;
  const T* dy;
  T* dx;
  bool add;

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
        const std::int64_t output = ((at.n * p_count + p) * q_count + q) * s.c + at.c;
        const std::int64_t r = at.h + s.pad_h - p * s.stride_h, t = at.w + s.pad_w - q * s.stride_w;
        const Pack<std::uint8_t, count> winners = load_pack<count>(index + output);
        const Pack<T, count> gradients = load_pack<count>(dy + output);
        for (int k = 0; k < count; ++k)
          if (winners.at[k] == r * s.s + t) sum[k] += widened(gradients.at[k]);
      }
    Pack<T, count> to;
    for (int k = 0; k < count; ++k) to.at[k] = stored<T>(sum[k]);
    store_pack(dx + pack * count, to);
  }
};

}  // namespace

void maxpool_grad(Context& c, const MaxpoolGradArgs& a) {
  if (a.mode == GradWrite::skip) return;
  visit_type(a.dy, [&](auto zero) {
    using T = decltype(zero);
    const T* dy = a.dy.data<T>();
    T* dx = a.dx.data<T>();
    const auto* index = a.index.data<std::uint8_t>();
    with_channel_pack<T>(
        a.shape.c,
        [&](auto count) {
          map(c, "maxpool_grad", a.dx.element_count() / count(),
              MaxpoolGrad<T, count()>{a.shape, a.shape.p(), a.shape.q(), index, dy, dx,
                                      a.mode == GradWrite::accumulate});
        },
        index, dy, dx);
  });
}

}  // namespace kiln::cuda
