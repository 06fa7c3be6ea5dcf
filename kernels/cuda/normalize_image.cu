// normalize_image on a GPU: 1 byte read and 4 written an element, in 16 bits 2. Per picture, one
// warp first sums its bytes and their squares, which are exact integers.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/picture_scale.h"
#include "kernels/include/normalize_image.h"

namespace kiln::cuda {
namespace {

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
  scale_picture_by_itself<T>(
      a.count, [x](std::int64_t i) { return x[i]; }, a.y + n * a.count);
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
    map_elements(c, "normalize_image", a.x.element_count(), false, y,
                 ConstantScale<T>::of(a, shape[3]), x);
  });
}

}  // namespace kiln::cuda
