// maxpool on a GPU: one thread an output, neighbours along the channels. Floor: 4 bytes an
// element of x and y in f32, 2 in 16 bits, and a byte of index.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/maxpool.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Maxpool {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* x;
  T* y;
  std::uint8_t* index;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, p_count, q_count, s.c);
    const WindowTaps rows = row_taps(s, at.h), columns = column_taps(s, at.w);
    Accumulated<T> best = -static_cast<Accumulated<T>>(INFINITY);
    std::int64_t winner = rows.begin * s.s + columns.begin;
    for (std::int64_t r = rows.begin; r < rows.end; ++r)
      for (std::int64_t t = columns.begin; t < columns.end; ++t) {
        const Accumulated<T> value =
            widened(x[((at.n * s.h + rows.start + r) * s.w + columns.start + t) * s.c + at.c]);
        if (value > best || value != value) {
          best = value;
          winner = r * s.s + t;
        }
      }
    y[i] = stored<T>(best);  // exact: one of the inputs
    if (index != nullptr) index[i] = static_cast<std::uint8_t>(winner);
  }
};

}  // namespace

void maxpool(Context& c, const MaxpoolArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "maxpool", a.y.element_count(),
        Maxpool<T>{a.shape, a.shape.p(), a.shape.q(), a.x.data<T>(), a.y.data<T>(),
                   optional_data<std::uint8_t>(a.index)});
  });
}

}  // namespace kiln::cuda
