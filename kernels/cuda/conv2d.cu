// conv2d on a GPU, the direct way: one thread an output, one sum in the order r, s, c. It needs no
// library and no tensor core, takes every shape, and is the yardstick of the faster providers.
// 16-bit elements are summed in f32. Floor: 2 R S C/groups operations an output on plain cores in
// every type; x, w and y once through memory are 4 bytes an element in f32, 2 in 16 bits.
#include "kernels/common/activation_math.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/include/conv2d.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Conv2dDirect {
  Conv2dShape s;
  std::int64_t p_count, q_count;
  const T *x, *w, *bias;  // bias may be null
  T* y;
  Activation activation;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, p_count, q_count, s.k);
    const std::int64_t k = at.c, group_c = s.c / s.groups, group = k / (s.k / s.groups);
    Accumulated<T> sum = bias == nullptr ? Accumulated<T>(0) : widened(bias[k]);
    const T* filter = w + k * s.r * s.s * group_c;
    for (std::int64_t r = 0; r < s.r; ++r) {
      const std::int64_t h = at.h * s.stride_h - s.pad_h + r * s.dilation_h;
      if (h < 0 || h >= s.h) continue;
      for (std::int64_t t = 0; t < s.s; ++t) {
        const std::int64_t v = at.w * s.stride_w - s.pad_w + t * s.dilation_w;
        if (v < 0 || v >= s.w) continue;
        const T* pixel = x + ((at.n * s.h + h) * s.w + v) * s.c + group * group_c;
        const T* tap = filter + (r * s.s + t) * group_c;
        for (std::int64_t c = 0; c < group_c; ++c) sum += widened(pixel[c]) * widened(tap[c]);
      }
    }
    y[i] = stored<T>(activated(sum, activation));
  }
};

}  // namespace

void conv2d(Context& c, const Conv2dArgs& a) {
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    map(c, "conv2d", a.y.element_count(),
        Conv2dDirect<T>{a.shape, a.shape.p(), a.shape.q(), a.x.data<T>(), a.w.data<T>(),
                        optional_data<T>(a.bias), a.y.data<T>(), a.activation});
  });
}

}  // namespace kiln::cuda
