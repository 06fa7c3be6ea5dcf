#include "kernels/include/load_batch.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/changed_picture.h"
#include "kernels/common/converted.h"
#include "kernels/common/ranges.h"

namespace kiln {

void check(const LoadBatchArgs& a) {
  constexpr std::string_view kOp = "load_batch";
  require_float(kOp, "x", a.x);
  const Shape &x = a.x.shape(), &all = a.pictures.shape();
  require(x.rank() == 4 && all.rank() == 4, kOp, "pictures are [N,H,W,C]");
  const Device device = a.x.device();
  require_tensor(kOp, "pictures", a.pictures, {all[0], x[1], x[2], x[3]}, DType::u8, device);
  require_tensor(kOp, "labels", a.labels, {all[0]}, DType::i32, device);
  require_tensor(kOp, "order", a.order, {all[0]}, DType::i64, device);
  require_tensor(kOp, "t", a.t, {x[0]}, DType::i32, device);
  require(x[1] * x[2] * x[3] <= 1 << 30, kOp, "takes pictures of at most 2^30 bytes");
  require(a.state != nullptr && a.batch_size >= x[0], kOp,
          "needs a state, and a batch_size of N or more");
  require(a.mode == NormalizeMode::per_image || x[3] <= 4, kOp, "takes at most four channels");
  const Augmentation& change = a.augmentation;
  require(change.cutout_side >= 0 && (change.cutout_side == 0 || x[3] <= 3), kOp,
          "cuts out of pictures of one or three channels");
  require(change.crop_padding >= 0 && change.crop_padding < std::min(x[1], x[2]), kOp,
          "pads by less than the picture's extent");
}

namespace cpu {
namespace {

// Where the byte of 0 lies and how far a byte reaches, per channel.
struct Affine {
  double centre[4], scale[4];
};

Affine constant_affine(const LoadBatchArgs& a) {
  Affine affine{};
  for (std::size_t c = 0; c < 4; ++c) {
    affine.centre[c] = 255 * a.mean[c];
    affine.scale[c] = a.inv_std[c] / 255;
  }
  return affine;
}

template <class Byte>
Affine picture_affine(int count, const Byte& byte) {
  std::uint64_t sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t b = byte(i);
    sum += b;
    squares += b * b;
  }
  const double n = count, mean = static_cast<double>(sum) / n;
  const double variance = std::max(0.0, static_cast<double>(squares) / n - mean * mean);
  const double scale = 1 / std::max(std::sqrt(variance), 255 / std::sqrt(n));
  return {{mean, mean, mean, mean}, {scale, scale, scale, scale}};
}

// Picture n of the batch from sample `index`.
template <class T>
void load_picture(const LoadBatchArgs& a, const PictureChange& change, std::int64_t index,
                  std::int64_t n) {
  const ImageExtents& e = change.extents;
  const int count = e.height * e.width * e.channels;
  const std::uint8_t* in = a.pictures.data<std::uint8_t>() + index * count;
  const AugmentDraw draw = draw_augmentation(a.augmentation, e, a.state->seed, a.state->epoch,
                                             static_cast<std::uint64_t>(index));
  const auto byte = [&](int i) { return change.byte(draw, in, i); };
  const bool alone = a.mode == NormalizeMode::per_image;
  const Affine affine = alone ? picture_affine(count, byte) : constant_affine(a);
  T* x = a.x.data<T>() + n * count;
  for (int i = 0; i < count; ++i) {
    const int c = alone ? 0 : i % e.channels;
    x[i] = converted<T>((byte(i) - affine.centre[c]) * affine.scale[c]);
  }
  a.t.data<std::int32_t>()[n] = a.labels.data<std::int32_t>()[index];
}

}  // namespace

// The way of devices; a run on the CPU has its pictures from the loader.
void load_batch(Context& c, const LoadBatchArgs& a) {
  const Shape& s = a.x.shape();
  const PictureChange change{a.augmentation,
                             {.height = static_cast<int>(s[1]),
                              .width = static_cast<int>(s[2]),
                              .channels = static_cast<int>(s[3])}};
  const std::int64_t begin = static_cast<std::int64_t>(a.state->batch) * a.batch_size;
  const std::int64_t count = std::clamp<std::int64_t>(a.order.element_count() - begin, 0, s[0]);
  map_ranges(c, count, 1, 1, [&](Range range) {
    visit_storage(a.x.dtype(), [&](auto zero) {
      for (std::int64_t n = range.begin; n < range.end; ++n)
        load_picture<decltype(zero)>(a, change, a.order.data<std::int64_t>()[begin + n], n);
    });
  });
}

}  // namespace cpu
}  // namespace kiln
