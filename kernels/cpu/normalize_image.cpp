#include "kernels/include/normalize_image.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/ranges.h"
#include "kernels/cpu/normalize_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {

void check(const NormalizeImageArgs& a) {
  constexpr std::string_view kOp = "normalize_image";
  require_float(kOp, "y", a.y);
  require(a.y.shape().rank() == 4, kOp, "pictures are [N,H,W,C]");
  require_tensor(kOp, "x", a.x, a.y.shape(), DType::u8, a.y.device());
  require(a.mode == NormalizeMode::per_image || a.y.shape()[3] <= 4, kOp,
          "takes at most four channels");
}

namespace cpu {
namespace {

// (x - 255 mean) * (inv_std / 255) for the channels of one picture.
struct Affine {
  double centre[4];
  double scale[4];
};

Affine constant_affine(const NormalizeImageArgs& a) {
  Affine affine{};
  for (std::size_t c = 0; c < 4; ++c) {
    affine.centre[c] = 255 * a.mean[c];
    affine.scale[c] = a.inv_std[c] / 255;
  }
  return affine;
}

Affine image_affine(const std::uint8_t* x, std::int64_t count) {
  const ByteMoments moments = KILN_CALL_ISA(byte_moments(x, count));
  const auto n = static_cast<double>(count);
  const double mean = static_cast<double>(moments.sum) / n;
  const double variance = std::max(0.0, static_cast<double>(moments.squares) / n - mean * mean);
  const double deviation = std::max(std::sqrt(variance), 255 / std::sqrt(n));
  Affine affine{};
  for (int c = 0; c < 4; ++c) {
    affine.centre[c] = mean;
    affine.scale[c] = 1 / deviation;
  }
  return affine;
}

NormalizeNumbers rounded(const Affine& affine, std::int64_t channel_count) {
  NormalizeNumbers n{};
  n.channel_count = channel_count;
  for (int c = 0; c < 4; ++c) {
    n.high[c] = static_cast<float>(affine.centre[c]);
    n.low[c] = static_cast<float>(affine.centre[c] - static_cast<double>(n.high[c]));
    n.scale[c] = static_cast<float>(affine.scale[c]);
  }
  return n;
}

// Elements [begin, begin + count) of the batch, which start with channel 0.
void normalize(const NormalizeImageArgs& a, const Affine& affine, std::int64_t channel_count,
               std::int64_t begin, std::int64_t count) {
  const std::uint8_t* x = a.x.data<std::uint8_t>() + begin;
  if (visit_vectorised(a.y.dtype(), [&](auto zero) {
        using T = decltype(zero);
        KILN_CALL_ISA(normalize(rounded(affine, channel_count), x, a.y.data<T>() + begin, count));
      }))
    return;
  double* y = a.y.data<double>() + begin;
  for (std::int64_t i = 0; i < count; ++i)
    y[i] = (x[i] - affine.centre[i % channel_count]) * affine.scale[i % channel_count];
}

}  // namespace

void normalize_image(Context& c, const NormalizeImageArgs& a) {
  const Shape& shape = a.x.shape();
  const std::int64_t picture = shape[1] * shape[2] * shape[3];
  map_ranges(c, shape[0], kMapGrain / (picture + 1) + 1, 1, [&](Range range) {
    if (a.mode == NormalizeMode::constant)
      return normalize(a, constant_affine(a), shape[3], range.begin * picture,
                       range.count() * picture);
    for (std::int64_t n = range.begin; n < range.end; ++n)
      normalize(a, image_affine(a.x.data<std::uint8_t>() + n * picture, picture), 1, n * picture,
                picture);
  });
}

}  // namespace cpu
}  // namespace kiln
