#include "kernels/include/batchnorm_grad.h"

#include "kernels/common/activation_math.h"
#include "kernels/common/batchnorm_check.h"
#include "kernels/common/ranges.h"
#include "kernels/common/rank_channels.h"
#include "kernels/cpu/batchnorm_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {

void check(const BatchnormGradArgs& a) {
  constexpr std::string_view kOp = "batchnorm_grad";
  require_alike(kOp, {"x", a.x}, {{"dy", a.dy}});
  require(a.x.shape().rank() >= 1 && a.x.shape()[-1] >= 1, kOp, "x must be [..., channels]");
  if (a.activation == Activation::relu) require_alike(kOp, {"x", a.x}, {{"y", a.y}});
  if (a.mode != GradWrite::skip) require_alike(kOp, {"x", a.x}, {{"dx", a.dx}});
  require_channels(kOp, a.x, {{"saved_mean", a.saved_mean}, {"saved_inv_std", a.saved_inv_std}});
  require_optional_channels(
      kOp, a.x, {{"gamma", a.gamma}, {"beta", a.beta}, {"dgamma", a.dgamma}, {"dbeta", a.dbeta}});
  require(a.dgamma.empty() == a.dbeta.empty(), kOp, "dgamma and dbeta come together");
  require(a.scratch != nullptr, kOp, "scratch is missing");
  require(a.ranks == nullptr || a.x.device().is_host(), kOp, "ranks are of the CPU only");
}

// Per part and channel the two sums, then the three numbers of dx and the two of gelu's argument.
std::size_t batchnorm_grad_scratch_bytes(const Context& c, const Shape& x, DType) {
  const auto parts = static_cast<std::size_t>(c.reduction_parts(row_count_of(x)));
  return (2 * parts + 5) * static_cast<std::size_t>(x[-1]) * sizeof(double);
}

namespace cpu {
namespace {

// Of gelu's argument, per channel: (x - mean) * scale + shift. Null with another activation.
template <class T>
struct Inner {
  T *scale, *shift;
};

// Fills `free`, of 2 * channels.
template <class T>
Inner<T> inner_numbers(const BatchnormGradArgs& a, std::int64_t channels, T* free) {
  if (a.activation != Activation::gelu) return {nullptr, nullptr};
  const Inner<T> inner{free, free + channels};
  for (std::int64_t c = 0; c < channels; ++c) {
    inner.scale[c] =
        static_cast<T>(channel_value<T>(a.gamma, c, 1) * channel_value<T>(a.saved_inv_std, c, 1));
    inner.shift[c] = static_cast<T>(channel_value<T>(a.beta, c, 0));
  }
  return inner;
}

// dy through the activation, at element i of channel c.
double through_activation(const BatchnormGradArgs& a, const Inner<double>& inner, std::int64_t i,
                          std::int64_t c) {
  const double dy = a.dy.data<double>()[i];
  if (a.activation == Activation::none) return dy;
  if (a.activation == Activation::relu) return a.y.data<double>()[i] > 0 ? dy : 0.0;
  const double centred = a.x.data<double>()[i] - a.saved_mean.data<double>()[c];
  return dy * gelu_slope(centred * inner.scale[c] + inner.shift[c]);
}

// The slope of gelu costs more than to write the gradient behind it once and read it again.
bool keeps_gradient(const BatchnormGradArgs& a) {
  return a.activation == Activation::gelu && a.mode == GradWrite::overwrite &&
         a.dx.dtype() == DType::f32;  // in bf16 it would be rounded before it is used
}

template <class T>
BatchnormSums<T> rows_from(const BatchnormGradArgs& a, const Inner<float>& inner,
                           std::int64_t first) {
  return {a.x.data<T>() + first,
          a.activation == Activation::relu ? a.y.data<T>() + first : nullptr,
          a.dy.data<T>() + first,
          a.saved_mean.data<float>(),
          inner.scale,
          inner.shift,
          keeps_gradient(a) ? a.dx.data<T>() + first : nullptr};
}
// The same behind the activation, where the sums have left the gradient in dx.
template <class T>
BatchnormSums<T> kept_rows_from(const BatchnormGradArgs& a, std::int64_t first) {
  return {
      .x = a.x.data<T>() + first, .dy = a.dx.data<T>() + first, .mean = a.saved_mean.data<float>()};
}

// Sums of g and of g (x - mean) over rows [range).
void part_sums(const BatchnormGradArgs& a, const Inner<float>& inner, Range range,
               std::int64_t channels, double* dbeta, double* dgamma) {
  visit_vectorised(a.x.dtype(), [&](auto zero) {
    KILN_CALL_ISA(batchnorm_sums(rows_from<decltype(zero)>(a, inner, range.begin * channels),
                                 range.count(), channels, dbeta, dgamma));
  });
}
void part_sums(const BatchnormGradArgs& a, const Inner<double>& inner, Range range,
               std::int64_t channels, double* dbeta, double* dgamma) {
  const double* x = a.x.data<double>();
  const double* mean = a.saved_mean.data<double>();
  for (std::int64_t c = 0; c < channels; ++c) dbeta[c] = dgamma[c] = 0;
  for (std::int64_t i = range.begin * channels; i < range.end * channels; ++i) {
    const std::int64_t c = i % channels;
    const double g = through_activation(a, inner, i, c);
    dbeta[c] += g;
    dgamma[c] += g * (x[i] - mean[c]);
  }
}

// dx = slope * g + offset + tilt * (x - mean), per channel.
template <class T>
struct Numbers {
  T *slope, *offset, *tilt;
};

// Of one channel: dbeta and dgamma / inv_std, summed over `rows` rows.
struct ChannelSums {
  double beta = 0, gamma = 0, rows = 0;
};

// Adds the parts of one channel in order.
ChannelSums sums_of(const double* parts, int part_count, std::int64_t rows, std::int64_t channels,
                    std::int64_t channel) {
  ChannelSums sums{.rows = static_cast<double>(rows)};
  for (int part = 0; part < part_count; ++part) {
    sums.beta += parts[2 * part * channels + channel];
    sums.gamma += parts[(2 * part + 1) * channels + channel];
  }
  return sums;
}

template <class T>
void write_parameters(const BatchnormGradArgs& a, const ChannelSums& sums, std::int64_t channel) {
  if (a.dgamma.empty()) return;
  const double gamma = sums.gamma * channel_value<T>(a.saved_inv_std, channel, 1);
  T& dgamma = a.dgamma.data<T>()[channel];
  T& dbeta = a.dbeta.data<T>()[channel];
  dgamma = static_cast<T>(gamma) + (a.accumulate_parameters ? dgamma : T(0));
  dbeta = static_cast<T>(sums.beta) + (a.accumulate_parameters ? dbeta : T(0));
}

template <class T>
void write_numbers(const BatchnormGradArgs& a, const ChannelSums& sums, std::int64_t channel,
                   const Numbers<T>& numbers) {
  const double inv_std = channel_value<T>(a.saved_inv_std, channel, 1);
  const double slope = channel_value<T>(a.gamma, channel, 1) * inv_std;
  const double gamma = sums.gamma * inv_std;
  numbers.slope[channel] = static_cast<T>(slope);
  numbers.offset[channel] = static_cast<T>(-slope * sums.beta / sums.rows);
  numbers.tilt[channel] = static_cast<T>(-slope * inv_std * gamma / sums.rows);
}

// The numbers by the sums of all ranks: `own` gives those of this one.
template <class T, class Own>
void write_numbers_of_all(const BatchnormGradArgs& a, const Own& own, std::int64_t rows,
                          std::int64_t channels, const Numbers<T>& numbers) {
  const RankChannels ranks(*a.ranks, channels, rows,
                           [&](std::int64_t channel, double& beta, double& gamma) {
                             const ChannelSums sums = own(channel);
                             beta = sums.beta;
                             gamma = sums.gamma;
                           });
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    ChannelSums all;
    ranks.each(channel, [&](double beta, double gamma, double count) {
      all.beta += beta;
      all.gamma += gamma;
      all.rows += count;
    });
    write_numbers<T>(a, all, channel, numbers);
  }
}

void write_dx(const BatchnormGradArgs& a, const Inner<float>& inner, Range range,
              const Numbers<float>& n) {
  const std::int64_t channels = a.x.shape()[-1], first = range.begin * channels;
  const bool kept = keeps_gradient(a);
  visit_vectorised(a.x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    KILN_CALL_ISA(batchnorm_grad(kept ? kept_rows_from<T>(a, first) : rows_from<T>(a, inner, first),
                                 {n.slope, n.offset, n.tilt}, a.dx.data<T>() + first, range.count(),
                                 channels, a.mode == GradWrite::accumulate,
                                 !kept && a.dx.size_bytes() >= kStreamedBytes));
  });
}

void write_dx(const BatchnormGradArgs& a, const Inner<double>& inner, Range range,
              const Numbers<double>& n) {
  const std::int64_t channels = a.x.shape()[-1];
  const double* x = a.x.data<double>();
  const double* mean = a.saved_mean.data<double>();
  double* dx = a.dx.data<double>();
  for (std::int64_t i = range.begin * channels; i < range.end * channels; ++i) {
    const std::int64_t c = i % channels;
    const double gradient = n.slope[c] * through_activation(a, inner, i, c) + n.offset[c] +
                            n.tilt[c] * (x[i] - mean[c]);
    dx[i] = (a.mode == GradWrite::accumulate ? dx[i] : 0.0) + gradient;
  }
}

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  const std::int64_t channels = a.x.shape()[-1], rows = row_count_of(a.x.shape());
  const int parts = c.reduction_parts(rows);
  auto* sums = reinterpret_cast<double*>(a.scratch);
  visit_float(accumulation_type(a.x.dtype()), [&](auto zero) {
    using T = decltype(zero);
    T* free = reinterpret_cast<T*>(sums + 2 * parts * channels);
    const Numbers<T> numbers{free, free + channels, free + 2 * channels};
    const Inner<T> inner = inner_numbers(a, channels, free + 3 * channels);
    c.pool().parallel_for(parts, [&](std::int64_t part) {
      double* dbeta = sums + 2 * part * channels;
      part_sums(a, inner, part_of(rows, parts, part), channels, dbeta, dbeta + channels);
    });
    const auto own = [&](std::int64_t channel) {
      return sums_of(sums, parts, rows, channels, channel);
    };
    const bool skips = a.mode == GradWrite::skip, alone = a.ranks == nullptr;
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      const ChannelSums sums_here = own(channel);
      write_parameters<T>(a, sums_here, channel);
      if (alone && !skips) write_numbers<T>(a, sums_here, channel, numbers);
    }
    if (skips) return;
    if (!alone) write_numbers_of_all<T>(a, own, rows, channels, numbers);
    map_ranges(c, rows, kMapGrain / channels + 1, 1,
               [&](Range range) { write_dx(a, inner, range, numbers); });
  });
}

}  // namespace cpu
}  // namespace kiln
