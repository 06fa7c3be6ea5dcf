#include "kernels/cpu/dropout_apply.h"

#include <algorithm>

#include "kernels/common/ranges.h"
#include "kernels/cpu/dropout_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {

void require_dropout(std::string_view op, const Tensor& x, double p, bool channel,
                     std::uint64_t step, std::uint32_t layer_id) {
  require_float(op, channel ? "x [N,H,W,C]" : "x", x);
  require(p >= 0 && p <= 1, op, "p must lie in [0, 1]");
  require(!channel || x.shape().rank() == 4, op, "whole channels need a tensor [N,H,W,C]");
  require(step < std::uint64_t{1} << 48 && layer_id < 65536, op,
          "step must be below 2^48 and layer_id below 2^16");
}

namespace cpu {
namespace {

MaskNumbers mask_numbers(const DropoutMask& mask) {
  return {.key0 = static_cast<std::uint32_t>(mask.key),
          .key1 = static_cast<std::uint32_t>(mask.key >> 32),
          .epoch = mask.epoch,
          .stream = static_cast<std::uint32_t>(RandomStream::dropout),
          .threshold = mask.threshold,
          .scale = static_cast<float>(mask.keep_scale)};
}

// Elements [range) of a tensor of T; range.begin is a multiple of 4.
template <class T>
void drop_elements(const DropoutJob& job, Range range) {
  KILN_CALL_ISA(dropout(mask_numbers(job.mask), static_cast<std::uint64_t>(range.begin / 4),
                        job.from.data<T>() + range.begin, job.to.data<T>() + range.begin,
                        range.count(), job.add));
}

// Whole channels of pictures [range), in tiles of channels whose factors fit on the stack.
template <class T>
void drop_channels(const DropoutJob& job, Range range) {
  constexpr std::int64_t kTile = 256;
  const Shape& shape = job.from.shape();
  const std::int64_t pixels = shape[1] * shape[2], channels = shape[3];
  for (std::int64_t n = range.begin; n < range.end; ++n)
    for (std::int64_t first = 0; first < channels; first += kTile) {
      const std::int64_t count = std::min(kTile, channels - first);
      float factors[kTile];
      for (std::int64_t i = 0; i < count; ++i)
        factors[i] = job.mask.kept(static_cast<std::uint64_t>(n * channels + first + i))
                         ? static_cast<float>(job.mask.keep_scale)
                         : 0.0f;
      const std::int64_t begin = n * pixels * channels + first;
      KILN_CALL_ISA(scale_columns(factors, job.from.data<T>() + begin, job.to.data<T>() + begin,
                                  pixels, channels, count, job.add));
    }
}

void drop_f64(const DropoutJob& job, Range range) {
  const double* from = job.from.data<double>();
  double* to = job.to.data<double>();
  const Shape& shape = job.from.shape();
  const std::int64_t channels = job.channel ? shape[3] : 1;
  const std::int64_t picture = job.channel ? shape[1] * shape[2] * shape[3] : 1;
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const std::int64_t unit = job.channel ? i / picture * channels + i % channels : i;
    const double factor =
        job.mask.kept(static_cast<std::uint64_t>(unit)) ? job.mask.keep_scale : 0.0;
    to[i] = (job.add ? to[i] : 0.0) + from[i] * factor;
  }
}

}  // namespace

void apply_dropout(Context& c, const DropoutJob& job) {
  const std::int64_t count = job.from.element_count();
  if (job.from.dtype() == DType::f64)
    return map_ranges(c, count, kMapGrain / 4, 64, [&](Range range) { drop_f64(job, range); });
  visit_vectorised(job.from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if (!job.channel)
      return map_ranges(c, count, kMapGrain / 4, 64,
                        [&](Range range) { drop_elements<T>(job, range); });
    const std::int64_t pictures = job.from.shape()[0];
    const std::int64_t per_picture = count / std::max<std::int64_t>(pictures, 1);
    map_ranges(c, pictures, kMapGrain / (per_picture + 1) + 1, 1,
               [&](Range range) { drop_channels<T>(job, range); });
  });
}

}  // namespace cpu
}  // namespace kiln
