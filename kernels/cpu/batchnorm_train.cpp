#include "kernels/include/batchnorm_train.h"

#include <cmath>

#include "kernels/common/batchnorm_check.h"
#include "kernels/common/batchnorm_map.h"
#include "kernels/common/ranges.h"
#include "kernels/common/rank_channels.h"
#include "kernels/cpu/batchnorm_simd.h"
#include "kernels/cpu/visit_vectorised.h"

namespace kiln {

void check(const BatchnormTrainArgs& a) {
  constexpr std::string_view kOp = "batchnorm_train";
  require_alike(kOp, {"x", a.x}, {{"y", a.y}});
  require(a.x.shape().rank() >= 1 && a.x.shape()[-1] >= 1, kOp, "x must be [..., channels]");
  require(row_count_of(a.x.shape()) >= (a.ranks == nullptr ? 2 : 1), kOp,
          "needs at least two rows to have a variance");
  require(a.ranks == nullptr || a.x.device().is_host(), kOp, "ranks are of the CPU only");
  require_channels(kOp, a.x, {{"saved_mean", a.saved_mean}, {"saved_inv_std", a.saved_inv_std}});
  require_optional_channels(kOp, a.x,
                            {{"gamma", a.gamma},
                             {"beta", a.beta},
                             {"saved_scale", a.saved_scale},
                             {"saved_shift", a.saved_shift},
                             {"running_mean", a.running_mean},
                             {"running_var", a.running_var}});
  require(a.running_mean.empty() == a.running_var.empty(), kOp,
          "running_mean and running_var come together");
  require(a.saved_scale.empty() == a.saved_shift.empty(), kOp,
          "saved_scale and saved_shift come together");
  require(a.scratch != nullptr, kOp, "scratch is missing");
}

// Per part and channel a mean and a sum of squared differences, then scale and shift of the map.
std::size_t batchnorm_train_scratch_bytes(const Context& c, const Shape& x, DType) {
  const auto parts = static_cast<std::size_t>(c.reduction_parts(row_count_of(x)));
  return (2 * parts + 2) * static_cast<std::size_t>(x[-1]) * sizeof(double);
}

namespace cpu {
namespace {

// Mean and sum of squared differences of rows [range) for every channel (f64: Welford's update).
void part_moments(const Tensor& x, Range range, std::int64_t channels, double* mean, double* m2) {
  if (visit_vectorised(x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        KILN_CALL_ISA(batchnorm_moments(x.data<T>() + range.begin * channels, range.count(),
                                        channels, mean, m2));
      }))
    return;
  const double* from = x.data<double>();
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0;
  for (std::int64_t row = range.begin; row < range.end; ++row)
    for (std::int64_t c = 0; c < channels; ++c) {
      const double value = from[row * channels + c];
      const double difference = value - mean[c];
      mean[c] += difference / static_cast<double>(row - range.begin + 1);
      m2[c] += difference * (value - mean[c]);
    }
}

// Of some rows: mean and sum of squared differences.
struct Moments {
  double mean = 0, m2 = 0, count = 0;

  void merge(double other_mean, double other_m2, double other_count) {
    const double difference = other_mean - mean, total = count + other_count;
    mean += difference * other_count / total;
    m2 += other_m2 + difference * difference * count * other_count / total;
    count = total;
  }
};

// The parts of one channel, merged in the order of their numbers.
Moments merged_moments(const double* parts, int part_count, std::int64_t rows,
                       std::int64_t channels, std::int64_t channel) {
  Moments all;
  for (int part = 0; part < part_count; ++part) {
    const double* from = parts + 2 * part * channels + channel;
    all.merge(from[0], from[channels],
              static_cast<double>(part_of(rows, part_count, part).count()));
  }
  return all;
}

template <class T>
void finish_channel(const BatchnormTrainArgs& a, const Moments& moments, std::int64_t channel,
                    const BatchnormApplyArgs& map) {
  const double count = moments.count;
  const double inv_std = 1 / std::sqrt(moments.m2 / count + a.epsilon);
  a.saved_mean.data<T>()[channel] = static_cast<T>(moments.mean);
  a.saved_inv_std.data<T>()[channel] = static_cast<T>(inv_std);
  const double scale = channel_value<T>(a.gamma, channel, 1) * inv_std;
  // What rounding takes from the mean goes into the shift: it can be large against the deviation.
  const double lost = moments.mean - static_cast<double>(static_cast<T>(moments.mean));
  map.scale.data<T>()[channel] = static_cast<T>(scale);
  map.shift.data<T>()[channel] =
      static_cast<T>(channel_value<T>(a.beta, channel, 0) - lost * scale);
  if (a.running_mean.empty()) return;
  const auto blend = [&a](T& running, double now) {
    running = static_cast<T>((1 - a.momentum) * static_cast<double>(running) + a.momentum * now);
  };
  blend(a.running_mean.data<T>()[channel], moments.mean);
  blend(a.running_var.data<T>()[channel], moments.m2 / (count - 1));
}

}  // namespace

void batchnorm_train(Context& c, const BatchnormTrainArgs& a) {
  const std::int64_t channels = a.x.shape()[-1], rows = row_count_of(a.x.shape());
  const int parts = c.reduction_parts(rows);
  auto* moments = reinterpret_cast<double*>(a.scratch);
  c.pool().parallel_for(parts, [&](std::int64_t part) {
    double* mean = moments + 2 * part * channels;
    part_moments(a.x, part_of(rows, parts, part), channels, mean, mean + channels);
  });
  const BatchnormApplyArgs map =
      map_over_rows(a, reinterpret_cast<std::byte*>(moments + 2 * parts * channels));
  visit_float(accumulation_type(a.x.dtype()), [&](auto zero) {
    using T = decltype(zero);
    const auto own = [&](std::int64_t channel) {
      return merged_moments(moments, parts, rows, channels, channel);
    };
    const auto finish = [&](const auto& moments_of) {
      for (std::int64_t channel = 0; channel < channels; ++channel)
        finish_channel<T>(a, moments_of(channel), channel, map);
    };
    if (a.ranks == nullptr) {
      finish(own);
    } else {
      const RankChannels ranks(*a.ranks, channels, rows,
                               [&](std::int64_t channel, double& mean, double& m2) {
                                 const Moments moments_here = own(channel);
                                 mean = moments_here.mean;
                                 m2 = moments_here.m2;
                               });
      finish([&](std::int64_t channel) {
        Moments all;
        ranks.each(channel,
                   [&](double mean, double m2, double count) { all.merge(mean, m2, count); });
        return all;
      });
    }
  });
  cpu::batchnorm_apply(c, map);
}

}  // namespace cpu
}  // namespace kiln
