// conv2d_grad on a GPU, the direct way: dx gathers, one thread an element; dw and dbias are one
// warp an element, whose lanes take every 32nd place of the batch and are added in a fixed tree.
// 16-bit elements are summed in f32. Floor: twice the operations of conv2d; x, dy, w, dx and dw
// once through memory are 4 bytes an element in f32, 2 in 16 bits.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/pool_place.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/conv2d_grad.h"

namespace kiln::cuda {
namespace {

// The output place along one axis that reads input `place` by `tap`; -1 where there is none.
__device__ inline std::int64_t output_of(std::int64_t place, std::int64_t tap, std::int64_t stride,
                                         std::int64_t pad, std::int64_t dilation,
                                         std::int64_t output_count) {
  const std::int64_t scaled = place + pad - tap * dilation;
  if (scaled < 0 || scaled % stride != 0 || scaled / stride >= output_count) return -1;
  return scaled / stride;
}

template <class T>
struct InputGradient {
  Conv2dShape s;
  std::int64_t p_count, q_count;
  const T *w, *dy;
  T* dx;
  bool add;

  __device__ void operator()(std::int64_t i) const {
    const Place at = place_of(i, s.h, s.w, s.c);
    const std::int64_t group_c = s.c / s.groups, group_k = s.k / s.groups;
    const std::int64_t group = at.c / group_c, c = at.c % group_c;
    Accumulated<T> sum = 0;
    for (std::int64_t r = 0; r < s.r; ++r) {
      const std::int64_t p = output_of(at.h, r, s.stride_h, s.pad_h, s.dilation_h, p_count);
      if (p < 0) continue;
      for (std::int64_t t = 0; t < s.s; ++t) {
        const std::int64_t q = output_of(at.w, t, s.stride_w, s.pad_w, s.dilation_w, q_count);
        if (q < 0) continue;
        const T* from = dy + ((at.n * p_count + p) * q_count + q) * s.k + group * group_k;
        for (std::int64_t k = 0; k < group_k; ++k)
          sum += widened(from[k]) *
                 widened(w[(((group * group_k + k) * s.r + r) * s.s + t) * group_c + c]);
      }
    }
    write_gradient(dx + i, sum, add);
  }
};

template <class T>
struct FilterGradient {
  Conv2dShape s;
  std::int64_t p_count, q_count;
  const T *x, *dy;
  T* dw;
  bool add;
};

template <class T>
__global__ void filter_gradient_element_per_warp(std::int64_t elements, FilterGradient<T> a) {
  const std::int64_t element = row_of_warp();
  if (element >= elements) return;
  const Conv2dShape& s = a.s;
  const std::int64_t group_c = s.c / s.groups;
  const std::int64_t c = element % group_c, t = element / group_c % s.s;
  const std::int64_t r = element / group_c / s.s % s.r, k = element / (group_c * s.s * s.r);
  const std::int64_t channel = k / (s.k / s.groups) * group_c + c;
  Accumulated<T> sum = 0;
  const std::int64_t places = s.n * a.p_count * a.q_count;
  for (std::int64_t i = threadIdx.x; i < places; i += kWarp) {
    const std::int64_t q = i % a.q_count, p = i / a.q_count % a.p_count;
    const std::int64_t n = i / a.q_count / a.p_count;
    const std::int64_t h = p * s.stride_h - s.pad_h + r * s.dilation_h;
    const std::int64_t v = q * s.stride_w - s.pad_w + t * s.dilation_w;
    if (h < 0 || h >= s.h || v < 0 || v >= s.w) continue;
    sum += widened(a.dy[i * s.k + k]) * widened(a.x[((n * s.h + h) * s.w + v) * s.c + channel]);
  }
  sum = warp_reduce(sum, Sum{});
  if (threadIdx.x == 0) write_gradient(a.dw + element, sum, a.add);
}

template <class T>
struct BiasGradient {
  const T* dy;
  T* dbias;
  std::int64_t places, channels;
  bool add;
};

template <class T>
__global__ void bias_gradient_channel_per_warp(std::int64_t channels, BiasGradient<T> a) {
  const std::int64_t k = row_of_warp();
  if (k >= channels) return;
  Accumulated<T> sum = 0;
  for (std::int64_t i = threadIdx.x; i < a.places; i += kWarp)
    sum += widened(a.dy[i * a.channels + k]);
  sum = warp_reduce(sum, Sum{});
  if (threadIdx.x == 0) write_gradient(a.dbias + k, sum, a.add);
}

template <class T>
void run(Context& c, const Conv2dGradArgs& a) {
  const Conv2dShape& s = a.shape;
  const std::int64_t p = s.p(), q = s.q();
  const T* dy = a.dy.data<T>();
  if (a.wants_dx())
    map(c, "conv2d_grad", a.dx.element_count(),
        InputGradient<T>{s, p, q, a.w.data<T>(), dy, a.dx.data<T>(),
                         a.mode == GradWrite::accumulate});
  launch_rows(
      c, "conv2d_grad", filter_gradient_element_per_warp<T>, a.dw.element_count(),
      FilterGradient<T>{s, p, q, a.x.data<T>(), dy, a.dw.data<T>(), a.accumulate_parameters});
  if (!a.dbias.empty())
    launch_rows(c, "conv2d_grad", bias_gradient_channel_per_warp<T>, s.k,
                BiasGradient<T>{dy, a.dbias.data<T>(), s.n * p * q, s.k, a.accumulate_parameters});
}

}  // namespace

void conv2d_grad(Context& c, const Conv2dGradArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
