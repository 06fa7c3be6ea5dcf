// maxpool on a GPU: one thread a pack of 16 bytes along the channels, or one output. Floor: 4 bytes
// an element of x and y in f32, 2 in 16 bits, and a byte of index.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/maxpool.h"

namespace kiln::cuda {
namespace {

template <class T, int count>
struct Maxpool {
  Pool2dShape s;
  std::int64_t p_count, q_count;
  const T* x;
  T* y;
  std::uint8_t* index;

  __device__ void operator()(std::int64_t pack) const {
    const Place at = place_of(pack * count, p_count, q_count, s.c);
    const WindowTaps rows = row_taps(s, at.h), columns = column_taps(s, at.w);
    Pack<T, count> best;
    Pack<std::uint8_t, count> winner;
    for (int k = 0; k < count; ++k) {
      best.at[k] = stored<T>(-static_cast<Accumulated<T>>(INFINITY));
      winner.at[k] = static_cast<std::uint8_t>(rows.begin * s.s + columns.begin);
    }
    for (std::int64_t r = rows.begin; r < rows.end; ++r)
      for (std::int64_t t = columns.begin; t < columns.end; ++t) {
        const Pack<T, count> values = load_pack<count>(
            x + ((at.n * s.h + rows.start + r) * s.w + columns.start + t) * s.c + at.c);
        for (int k = 0; k < count; ++k) {
          const Accumulated<T> value = widened(values.at[k]);
          if (!(value > widened(best.at[k])) && value == value) continue;
          best.at[k] = values.at[k];
          winner.at[k] = static_cast<std::uint8_t>(r * s.s + t);
        }
      }
    store_pack(y + pack * count, best);
    if (index != nullptr) store_pack(index + pack * count, winner);
  }
};

}  // namespace

void maxpool(Context& c, const MaxpoolArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.x.data<T>();
    T* y = a.y.data<T>();
    auto* index = optional_data<std::uint8_t>(a.index);
    with_channel_pack<T>(
        a.shape.c,
        [&](auto count) {
          map(c, "maxpool", a.y.element_count() / count(),
              Maxpool<T, count()>{a.shape, a.shape.p(), a.shape.q(), x, y, index});
        },
        x, y, index);
  });
}

}  // namespace kiln::cuda
