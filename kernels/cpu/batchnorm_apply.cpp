#include "kernels/include/batchnorm_apply.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/batchnorm_check.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/batchnorm_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {

void check(const BatchnormApplyArgs& a) {
  constexpr std::string_view kOp = "batchnorm_apply";
  require_alike(kOp, {"x", a.x}, {{"y", a.y}});
  require(a.x.shape().rank() >= 1 && a.x.shape()[-1] >= 1, kOp, "x must be [..., channels]");
  require_channels(kOp, a.x, {{"mean", a.mean}, {"scale", a.scale}, {"shift", a.shift}});
}

namespace cpu {
namespace {

template <class T>
void apply_vectors(const BatchnormApplyArgs& a, Range range, std::int64_t channels) {
  const std::int64_t first = range.begin * channels;
  KILN_CALL_ISA(batchnorm_apply(a.x.data<T>() + first, a.y.data<T>() + first, range.count(),
                                channels, a.mean.data<float>(), a.scale.data<float>(),
                                a.shift.data<float>(), a.activation,
                                a.y.size_bytes() >= kStreamedBytes));
}

void apply_f64(const BatchnormApplyArgs& a, Range range, std::int64_t channels) {
  const double *x = a.x.data<double>(), *mean = a.mean.data<double>();
  const double *scale = a.scale.data<double>(), *shift = a.shift.data<double>();
  double* y = a.y.data<double>();
  for (std::int64_t i = range.begin * channels; i < range.end * channels; ++i) {
    const std::int64_t c = i % channels;
    y[i] = activated_or_gelu((x[i] - mean[c]) * scale[c] + shift[c], a.activation);
  }
}

}  // namespace

void batchnorm_apply(Context& c, const BatchnormApplyArgs& a) {
  const std::int64_t channels = a.x.shape()[-1], rows = row_count_of(a.x.shape());
  map_ranges(c, rows, kMapGrain / channels + 1, 1, [&](Range range) {
    if (!visit_vectorised(a.x.dtype(),
                          [&](auto zero) { apply_vectors<decltype(zero)>(a, range, channels); }))
      apply_f64(a, range, channels);
  });
}

}  // namespace cpu
}  // namespace kiln
