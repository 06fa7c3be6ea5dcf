#include "kernels/include/batchnorm_infer.h"

#include <cmath>

#include "kernels/common/activation_math.h"
#include "kernels/common/batchnorm_check.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/batchnorm_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {
namespace {

constexpr std::int64_t kMostChannels = 2048;  // whose numbers fit on the stack, 24 KiB

}  // namespace

void check(const BatchnormInferArgs& a) {
  constexpr std::string_view kOp = "batchnorm_infer";
  require_alike(kOp, {"x", a.x}, {{"y", a.y}});
  require(a.x.shape().rank() >= 1 && a.x.shape()[-1] >= 1, kOp, "x must be [..., channels]");
  require(a.x.dtype() == DType::f64 || a.x.shape()[-1] <= kMostChannels, kOp,
          "takes at most 2048 channels");
  require_channels(kOp, a.x, {{"running_mean", a.running_mean}, {"running_var", a.running_var}});
  require_optional_channels(kOp, a.x, {{"gamma", a.gamma}, {"beta", a.beta}});
}

namespace cpu {
namespace {

struct ScaleShift {
  double scale, shift;
};

template <class T>
ScaleShift scale_shift(const BatchnormInferArgs& a, std::int64_t c) {
  const double scale = channel_value<T>(a.gamma, c, 1) /
                       std::sqrt(channel_value<T>(a.running_var, c, 1) + a.epsilon);
  return {scale, channel_value<T>(a.beta, c, 0) - channel_value<T>(a.running_mean, c, 0) * scale};
}

void apply_f64(const BatchnormInferArgs& a, Range range, std::int64_t channels) {
  const double* x = a.x.data<double>();
  double* y = a.y.data<double>();
  for (std::int64_t c = 0; c < channels; ++c) {
    const ScaleShift s = scale_shift<double>(a, c);
    for (std::int64_t i = range.begin * channels + c; i < range.end * channels; i += channels)
      y[i] = activated_or_gelu(x[i] * s.scale + s.shift, a.activation);
  }
}

template <class T>
void apply_vectors(const BatchnormInferArgs& a, Range range, std::int64_t channels) {
  float zero[kMostChannels], scale[kMostChannels], shift[kMostChannels];
  for (std::int64_t c = 0; c < channels; ++c) {
    const ScaleShift s = scale_shift<float>(a, c);
    zero[c] = 0;
    scale[c] = static_cast<float>(s.scale);
    shift[c] = static_cast<float>(s.shift);
  }
  KILN_CALL_ISA(batchnorm_apply(
      a.x.data<T>() + range.begin * channels, a.y.data<T>() + range.begin * channels, range.count(),
      channels, zero, scale, shift, a.activation, a.y.size_bytes() >= kStreamedBytes));
}

}  // namespace

void batchnorm_infer(Context& c, const BatchnormInferArgs& a) {
  const std::int64_t channels = a.x.shape()[-1], rows = row_count_of(a.x.shape());
  map_ranges(c, rows, kMapGrain / channels + 1, 1, [&](Range range) {
    if (!visit_vectorised(a.x.dtype(),
                          [&](auto zero) { apply_vectors<decltype(zero)>(a, range, channels); }))
      apply_f64(a, range, channels);
  });
}

}  // namespace cpu
}  // namespace kiln
