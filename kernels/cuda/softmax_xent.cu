// softmax_xent on a GPU: one warp a row; z is read from the cache after the first time.
// Floor: 8 bytes an element in f32, 4 in 16 bits, and two exp; the loss is f32 (f64 beside f64).
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/loss_scale_update.h"
#include "kernels/include/softmax_xent.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Rows {
  const T* z;
  const std::int32_t* t;
  Accumulated<T>* loss;
  std::int32_t* hit;
  T* dz;  // or null
  std::int64_t classes;
  double label_smoothing, scale;
  const float* loss_scale;  // or null
};

struct Smallest {
  __device__ std::int64_t operator()(std::int64_t a, std::int64_t b) const { return a < b ? a : b; }
};

// The first class that holds the maximum; `classes` where the row holds a NaN.
template <class T>
__device__ std::int64_t first_of(const T* z, std::int64_t classes, Accumulated<T> largest) {
  std::int64_t first = classes;
  for (std::int64_t k = threadIdx.x; k < classes; k += kWarp)
    if (widened(z[k]) == largest && k < first) first = k;
  return warp_reduce(first, Smallest{});
}

template <class T>
__global__ void softmax_xent_row_per_warp(std::int64_t rows, Rows<T> a) {
  using A = Accumulated<T>;
  const std::int64_t row = row_of_warp();
  if (row >= rows) return;
  const T* z = a.z + row * a.classes;
  const std::int32_t label = a.t[row];
  // Read before dz is written: dz may be z.
  const A at_label = widened(z[label]), largest = row_maximum(z, a.classes);
  const std::int64_t best = first_of(z, a.classes, largest);
  A total = 0, shifted = 0;
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp) {
    total += std::exp(widened(z[k]) - largest);
    shifted += widened(z[k]) - largest;
  }
  total = warp_reduce(total, Sum{});
  shifted = warp_reduce(shifted, Sum{});
  const A log_total = std::log(total), count = static_cast<A>(a.classes);
  const A smoothing = static_cast<A>(a.label_smoothing), spread = smoothing / count;
  if (threadIdx.x == 0) {
    A loss = -(1 - smoothing) * (at_label - largest - log_total);
    if (smoothing != 0) loss -= spread * (shifted - count * log_total);
    a.loss[row] = loss;
    a.hit[row] = best == label ? 1 : 0;
  }
  if (a.dz == nullptr) return;
  const A loss_scale = a.loss_scale == nullptr ? A(1) : static_cast<A>(a.loss_scale[kLossScale]);
  const A scale = static_cast<A>(a.scale) * loss_scale;
  for (std::int64_t k = threadIdx.x; k < a.classes; k += kWarp) {
    const A wanted = spread + (k == label ? 1 - smoothing : A(0));
    const A probability = std::exp(widened(z[k]) - largest) / total;
    a.dz[row * a.classes + k] = stored<T>(scale * (probability - wanted));
  }
}

}  // namespace

void softmax_xent(Context& c, const SoftmaxXentArgs& a) {
  visit_type(a.z, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(c, "softmax_xent", softmax_xent_row_per_warp<T>, a.z.shape()[0],
                Rows<T>{.z = a.z.data<T>(),
                        .t = a.t.data<std::int32_t>(),
                        .loss = a.loss.data<Accumulated<T>>(),
                        .hit = a.hit.data<std::int32_t>(),
                        .dz = optional_data<T>(a.dz),
                        .classes = a.z.shape()[1],
                        .label_smoothing = a.label_smoothing,
                        .scale = a.scale,
                        .loss_scale = optional_data<const float>(a.loss_scale)});
  });
}

}  // namespace kiln::cuda
