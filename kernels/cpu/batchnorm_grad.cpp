#include "kernels/include/batchnorm_grad.h"

#include "kernels/common/batchnorm_check.h"
#include "kernels/common/ranges.h"
#include "kernels/cpu/batchnorm_simd.h"

namespace kiln {

void check(const BatchnormGradArgs& a) {
  constexpr std::string_view kOp = "batchnorm_grad";
  require_alike(kOp, {"x", a.x}, {{"dy", a.dy}});
  require(a.x.shape().rank() >= 1 && a.x.shape()[-1] >= 1, kOp, "x must be [..., channels]");
  if (a.activation == Activation::relu) require_alike(kOp, {"x", a.x}, {{"y", a.y}});
  if (a.mode != GradWrite::skip) require_alike(kOp, {"x", a.x}, {{"dx", a.dx}});
  require_channels(kOp, a.x, {{"saved_mean", a.saved_mean}, {"saved_inv_std", a.saved_inv_std}});
  require_optional_channels(kOp, a.x,
                            {{"gamma", a.gamma}, {"dgamma", a.dgamma}, {"dbeta", a.dbeta}});
  require(a.dgamma.empty() == a.dbeta.empty(), kOp, "dgamma and dbeta come together");
  require(a.scratch != nullptr, kOp, "scratch is missing");
}

// Per part and channel the two sums, then the three numbers of dx.
std::size_t batchnorm_grad_scratch_bytes(const Context& c, const Shape& x, DType) {
  const auto parts = static_cast<std::size_t>(c.reduction_parts(row_count_of(x)));
  return (2 * parts + 3) * static_cast<std::size_t>(x[-1]) * sizeof(double);
}

namespace cpu {
namespace {

// dy through the activation.
double masked(const double* y, const double* dy, std::int64_t i) {
  return y == nullptr || y[i] > 0 ? dy[i] : 0.0;
}

const double* result_of(const BatchnormGradArgs& a) {
  return a.activation == Activation::relu ? a.y.data<double>() : nullptr;
}

BatchnormSums rows_from(const BatchnormGradArgs& a, std::int64_t first) {
  return {a.x.data<float>() + first,
          a.activation == Activation::relu ? a.y.data<float>() + first : nullptr,
          a.dy.data<float>() + first, a.saved_mean.data<float>()};
}

// Sums of g and of g (x - mean) over rows [range).
void part_sums(const BatchnormGradArgs& a, Range range, std::int64_t channels, double* dbeta,
               double* dgamma) {
  if (a.x.dtype() == DType::f32) {
    KILN_CALL_ISA(batchnorm_sums_f32(rows_from(a, range.begin * channels), range.count(), channels,
                                     dbeta, dgamma));
    return;
  }
  const double* x = a.x.data<double>();
  const double* mean = a.saved_mean.data<double>();
  for (std::int64_t c = 0; c < channels; ++c) dbeta[c] = dgamma[c] = 0;
  for (std::int64_t i = range.begin * channels; i < range.end * channels; ++i) {
    const double g = masked(result_of(a), a.dy.data<double>(), i);
    dbeta[i % channels] += g;
    dgamma[i % channels] += g * (x[i] - mean[i % channels]);
  }
}

// dx = slope * g + offset + tilt * (x - mean), per channel.
template <class T>
struct Numbers {
  T *slope, *offset, *tilt;
};

// Adds the parts of one channel in order, writes its parameters' gradients and its numbers.
template <class T>
void finish_channel(const BatchnormGradArgs& a, const double* sums, int parts, std::int64_t rows,
                    std::int64_t channel, const Numbers<T>& numbers) {
  const std::int64_t channels = a.x.shape()[-1];
  double beta = 0, gamma = 0;
  for (int part = 0; part < parts; ++part) {
    beta += sums[2 * part * channels + channel];
    gamma += sums[(2 * part + 1) * channels + channel];
  }
  const double inv_std = channel_value<T>(a.saved_inv_std, channel, 1);
  gamma *= inv_std;
  if (!a.dgamma.empty()) {
    T& dgamma = a.dgamma.data<T>()[channel];
    T& dbeta = a.dbeta.data<T>()[channel];
    dgamma = static_cast<T>(gamma) + (a.accumulate_parameters ? dgamma : T(0));
    dbeta = static_cast<T>(beta) + (a.accumulate_parameters ? dbeta : T(0));
  }
  const double slope = channel_value<T>(a.gamma, channel, 1) * inv_std;
  const auto count = static_cast<double>(rows);
  numbers.slope[channel] = static_cast<T>(slope);
  numbers.offset[channel] = static_cast<T>(-slope * beta / count);
  numbers.tilt[channel] = static_cast<T>(-slope * inv_std * gamma / count);
}

void write_dx(const BatchnormGradArgs& a, Range range, const Numbers<float>& n) {
  const std::int64_t channels = a.x.shape()[-1], first = range.begin * channels;
  KILN_CALL_ISA(batchnorm_grad_f32(
      rows_from(a, first), {n.slope, n.offset, n.tilt}, a.dx.data<float>() + first, range.count(),
      channels, a.mode == GradWrite::accumulate, a.dx.size_bytes() >= kStreamedBytes));
}

void write_dx(const BatchnormGradArgs& a, Range range, const Numbers<double>& n) {
  const std::int64_t channels = a.x.shape()[-1];
  const double* x = a.x.data<double>();
  const double* mean = a.saved_mean.data<double>();
  double* dx = a.dx.data<double>();
  for (std::int64_t i = range.begin * channels; i < range.end * channels; ++i) {
    const std::int64_t c = i % channels;
    const double gradient = n.slope[c] * masked(result_of(a), a.dy.data<double>(), i) +
                            n.offset[c] + n.tilt[c] * (x[i] - mean[c]);
    dx[i] = (a.mode == GradWrite::accumulate ? dx[i] : 0.0) + gradient;
  }
}

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  const std::int64_t channels = a.x.shape()[-1], rows = row_count_of(a.x.shape());
  const int parts = c.reduction_parts(rows);
  auto* sums = reinterpret_cast<double*>(a.scratch);
  c.pool().parallel_for(parts, [&](std::int64_t part) {
    double* dbeta = sums + 2 * part * channels;
    part_sums(a, part_of(rows, parts, part), channels, dbeta, dbeta + channels);
  });
  visit_float(a.x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* free = reinterpret_cast<T*>(sums + 2 * parts * channels);
    const Numbers<T> numbers{free, free + channels, free + 2 * channels};
    for (std::int64_t channel = 0; channel < channels; ++channel)
      finish_channel<T>(a, sums, parts, rows, channel, numbers);
    if (a.mode == GradWrite::skip) return;
    map_ranges(c, rows, kMapGrain / channels + 1, 1,
               [&](Range range) { write_dx(a, range, numbers); });
  });
}

}  // namespace cpu
}  // namespace kiln
