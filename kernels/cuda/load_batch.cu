// load_batch on a GPU: 1 byte read and 4 written an element, in 16 bits 2, and about 20 integer
// operations; a block a picture, whose draw every thread repeats (one Philox block, two where flips
// alternate). Normalised by itself, a picture has a warp and its bytes are made twice.
#include "kernels/common/changed_picture.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/picture_scale.h"
#include "kernels/include/load_batch.h"

namespace kiln::cuda {
namespace {

template <class T>
struct Batch {
  const std::uint8_t* pictures;
  const std::int32_t* labels;
  const std::int64_t* order;
  T* x;
  std::int32_t* t;
  const StepState* state;
  std::int64_t batch_size, total;
  PictureChange change;
  ConstantScale<T> constant;

  __device__ int bytes() const {
    return change.extents.height * change.extents.width * change.extents.channels;
  }
  // The place of picture n in the data set; negative behind the end.
  __device__ std::int64_t index_of(std::int64_t n) const {
    const std::int64_t at = static_cast<std::int64_t>(state->batch) * batch_size + n;
    return at < total ? order[at] : -1;
  }
  __device__ AugmentDraw draw(std::int64_t index) const {
    return draw_augmentation(change.augmentation, change.extents, state->seed, state->epoch,
                             static_cast<std::uint64_t>(index));
  }
};

template <class T>
__global__ void load_picture_per_block(Batch<T> a) {
  const std::int64_t n = blockIdx.x, index = a.index_of(n);
  if (index < 0) return;
  const AugmentDraw draw = a.draw(index);
  const std::uint8_t* in = a.pictures + index * a.bytes();
  T* x = a.x + n * a.bytes();
  for (int i = static_cast<int>(threadIdx.x); i < a.bytes(); i += static_cast<int>(blockDim.x))
    x[i] = stored<T>(a.constant(i, static_cast<float>(a.change.byte(draw, in, i))));
  if (threadIdx.x == 0) a.t[n] = a.labels[index];
}

template <class T>
__global__ void load_picture_per_warp(std::int64_t pictures, Batch<T> a) {
  const std::int64_t n = row_of_warp();
  const std::int64_t index = n < pictures ? a.index_of(n) : -1;
  if (index < 0) return;
  const AugmentDraw draw = a.draw(index);
  const std::uint8_t* in = a.pictures + index * a.bytes();
  scale_picture_by_itself<T>(
      a.bytes(), [&](std::int64_t i) { return a.change.byte(draw, in, static_cast<int>(i)); },
      a.x + n * a.bytes());
  if (threadIdx.x == 0) a.t[n] = a.labels[index];
}

}  // namespace

void load_batch(Context& c, const LoadBatchArgs& a) {
  const Shape& s = a.x.shape();
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    const Batch<T> batch{.pictures = a.pictures.data<const std::uint8_t>(),
                         .labels = a.labels.data<const std::int32_t>(),
                         .order = a.order.data<const std::int64_t>(),
                         .x = a.x.data<T>(),
                         .t = a.t.data<std::int32_t>(),
                         .state = a.state,
                         .batch_size = a.batch_size,
                         .total = a.order.element_count(),
                         .change = {a.augmentation,
                                    {.height = static_cast<int>(s[1]),
                                     .width = static_cast<int>(s[2]),
                                     .channels = static_cast<int>(s[3])}},
                         .constant = ConstantScale<T>::of(a, s[3])};
    if (a.mode == NormalizeMode::per_image)
      return launch_rows(c, "load_batch", load_picture_per_warp<T>, s[0], batch);
    launch<Threads::independent>(c, "load_batch", load_picture_per_block<T>,
                                 {.grid_x = static_cast<unsigned>(s[0]), .block_x = kBlock}, batch);
  });
}

}  // namespace kiln::cuda
