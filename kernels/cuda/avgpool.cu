// avgpool on a GPU: one thread a pack of 16 bytes along the channels, or one output. Where windows
// do not overlap, x is read and y written once: 4 bytes an element of both in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/avgpool.h"

namespace kiln::cuda {
namespace {

template <class T, int count>
struct Avgpool {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* x;
  T* y;
  bool count_include_pad;

  __device__ void operator()(std::int64_t pack) const {
    const Place at = place_of(pack * count, p_count, q_count, s.c);
    const WindowTaps rows = row_taps(s, at.h), columns = column_taps(s, at.w);
    Accumulated<T> sum[count] = {};
    for (std::int64_t r = rows.begin; r < rows.end; ++r)
      for (std::int64_t t = columns.begin; t < columns.end; ++t) {
        const Pack<T, count> values = load_pack<count>(
            x + ((at.n * s.h + rows.start + r) * s.w + columns.start + t) * s.c + at.c);
        for (int k = 0; k < count; ++k) sum[k] += widened(values.at[k]);
      }
    const auto divisor =
        static_cast<Accumulated<T>>(window_divisor(s, at.h, at.w, count_include_pad));
    Pack<T, count> to;
    for (int k = 0; k < count; ++k) to.at[k] = stored<T>(sum[k] / divisor);
    store_pack(y + pack * count, to);
  }
};

}  // namespace

void avgpool(Context& c, const AvgpoolArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.x.data<T>();
    T* y = a.y.data<T>();
    with_channel_pack<T>(
        a.shape.c,
        [&](auto count) {
          map(c, "avgpool", a.y.element_count() / count(),
              Avgpool<T, count()>{a.shape, a.shape.p(), a.shape.q(), x, y, a.count_include_pad});
        },
        x, y);
  });
}

}  // namespace kiln::cuda
