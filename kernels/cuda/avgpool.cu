// avgpool on a GPU: one thread an output, neighbours along the channels. Where windows do not
// overlap, x is read and y written once: 4 bytes an element of both in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/avgpool.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Avgpool {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* x;
  T* y;
  bool count_include_pad;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, p_count, q_count, s.c);
    const WindowTaps rows = row_taps(s, at.h), columns = column_taps(s, at.w);
    Accumulated<T> sum = 0;
    for (std::int64_t r = rows.begin; r < rows.end; ++r)
      for (std::int64_t t = columns.begin; t < columns.end; ++t)
        sum += widened(x[((at.n * s.h + rows.start + r) * s.w + columns.start + t) * s.c + at.c]);
    const auto divisor = window_divisor(s, at.h, at.w, count_include_pad);
    y[i] = stored<T>(sum / static_cast<Accumulated<T>>(divisor));
  }
};

}  // namespace

void avgpool(Context& c, const AvgpoolArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "avgpool", a.y.element_count(),
        Avgpool<T>{a.shape, a.shape.p(), a.shape.q(), a.x.data<T>(), a.y.data<T>(),
                   a.count_include_pad});
  });
}

}  // namespace kiln::cuda
