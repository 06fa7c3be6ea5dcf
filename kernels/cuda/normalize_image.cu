// normalize_image on a GPU: 1 byte read and 4 written an element, in 16 bits 2. Per picture, one
// warp first sums its bytes and their squares, which are exact integers.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/softmax_row.h"
#include "kernels/include/normalize_image.h"

namespace kiln::cuda {
namespace {

template <class T>
struct NormalizeConstant {
  std::int64_t channels;
  double centre[4], scale[4];  // of bytes

  __device__ Accumulated<T> operator()(std::int64_t i, float x) const {
    const std::int64_t c = i % channels;
    return static_cast<Accumulated<T>>((static_cast<double>(x) - centre[c]) * scale[c]);
  }
};

template <class T>
struct Pictures {
  const std::uint8_t* x;
  T* y;
  std::int64_t count;  // bytes of a picture
};

template <class T>
__global__ void normalize_picture_per_warp(std::int64_t pictures, Pictures<T> a) {
  const std::int64_t n = row_of_warp();
  if (n >= pictures) return;
  const std::uint8_t* x = a.x + n * a.count;
  std::uint64_t sum = 0, squares = 0;
  for (std::int64_t i = threadIdx.x; i < a.count; i += kWarp) {
    sum += x[i];
    squares += std::uint64_t{x[i]} * x[i];
  }
  const double count = static_cast<double>(a.count);
  const double mean = static_cast<double>(warp_reduce(sum, Sum{})) / count;
  const double variance = static_cast<double>(warp_reduce(squares, Sum{})) / count - mean * mean;
  const double deviation = std::sqrt(variance > 0 ? variance : 0.0), least = 255 / std::sqrt(count);
  const double scale = 1 / (deviation > least ? deviation : least);
  for (std::int64_t i = threadIdx.x; i < a.count; i += kWarp)
    a.y[n * a.count + i] =
        stored<T>(static_cast<Accumulated<T>>((static_cast<double>(x[i]) - mean) * scale));
}

}  // namespace

void normalize_image(Context& c, const NormalizeImageArgs& a) {
  const Shape& shape = a.x.shape();
  const auto* x = a.x.data<const std::uint8_t>();
  visit_type(a.y, [&](auto zero) {
    using T = decltype(zero);
    T* y = a.y.data<T>();
    if (a.mode == NormalizeMode::per_image)
      return launch_rows(c, "normalize_image", normalize_picture_per_warp<T>, shape[0],
                         Pictures<T>{x, y, shape[1] * shape[2] * shape[3]});
    NormalizeConstant<T> body{.channels = shape[3], .centre = {}, .scale = {}};
    for (std::size_t channel = 0; channel < 4; ++channel) {
      body.centre[channel] = 255 * a.mean[channel];
      body.scale[channel] = a.inv_std[channel] / 255;
    }
    map_elements(c, "normalize_image", a.x.element_count(), false, y, body, x);
  });
}

}  // namespace kiln::cuda
