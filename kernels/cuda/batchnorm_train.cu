// batchnorm_train on a GPU: two reads of x and one write of y: 12 bytes an element in f32, 6 in 16
// bits, whose statistics, scale and shift are f32. Sums are taken around the first row,
// x - x[0], so that a large mean cancels nothing.
#include "kernels/common/activation_math.h"
#include "kernels/common/batchnorm_check.h"
#include "kernels/cuda/batchnorm_sums.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/batchnorm_train.h"

namespace kiln::cuda {
namespace {

template <class T>
struct ShiftedMoments {
  const T* x;
  std::int64_t channels;
  __device__ SumPair operator()(std::int64_t row, std::int64_t channel) const {
    const double d = static_cast<double>(widened(x[row * channels + channel])) -
                     static_cast<double>(widened(x[channel]));
    return {d, d * d};
  }
};

template <class T>
struct Statistics {
  const T* x;
  const SumPair* partial;
  SumPair* exact;  // [channels]: mean and 1 / deviation, unrounded, for Apply
  Accumulated<T>*saved_mean, *saved_inv_std;
  Accumulated<T>*running_mean, *running_var;  // may be null
  std::int64_t rows, channels;
  int parts;
  double momentum, epsilon;

  __device__ void operator()(std::int64_t c) const {
    const SumPair sum = add_parts(partial, parts, channels, c);
    const double count = static_cast<double>(rows), shift = sum.first / count;
    const double mean = static_cast<double>(widened(x[c])) + shift;
    const double m2 = sum.second - sum.first * shift;
    // Rounding may leave a tiny negative number; NaN must stay.
    const double variance = m2 < 0 ? 0.0 : m2 / count;
    exact[c] = {mean, 1 / std::sqrt(variance + epsilon)};
    saved_mean[c] = static_cast<Accumulated<T>>(mean);
    saved_inv_std[c] = static_cast<Accumulated<T>>(exact[c].second);
    if (running_mean != nullptr) running_mean[c] = blend(running_mean[c], mean);
    if (running_var != nullptr)
      running_var[c] = blend(running_var[c], variance * count / (count - 1));
  }
  __device__ Accumulated<T> blend(Accumulated<T> old, double now) const {
    return static_cast<Accumulated<T>>((1 - momentum) * static_cast<double>(old) + momentum * now);
  }
};

template <class T>
struct Apply {
  const Accumulated<T>*gamma, *beta;  // may be null
  const SumPair* exact;
  std::int64_t channels;
  Activation activation;

  __device__ Accumulated<T> operator()(std::int64_t i, Accumulated<T> x) const {
    const std::int64_t c = i % channels;
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) * exact[c].second;
    const double centred = static_cast<double>(x) - exact[c].first;
    const double shift = beta == nullptr ? 0.0 : static_cast<double>(beta[c]);
    return activated(static_cast<Accumulated<T>>(centred * scale + shift), activation);
  }
};

}  // namespace

void batchnorm_train(Context& c, const BatchnormTrainArgs& a) {
  const std::int64_t rows = row_count_of(a.x.shape()), channels = a.x.shape()[-1];
  const int parts = c.reduction_parts(rows);
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulated<T>;
    const T* x = a.x.data<T>();
    SumPair* exact = partial + parts * channels;
    sum_channels(c, "batchnorm_train", rows, channels, parts, ShiftedMoments<T>{x, channels},
                 partial);
    map(c, "batchnorm_train", channels,
        Statistics<T>{.x = x,
                      .partial = partial,
                      .exact = exact,
                      .saved_mean = a.saved_mean.data<A>(),
                      .saved_inv_std = a.saved_inv_std.data<A>(),
                      .running_mean = optional_data<A>(a.running_mean),
                      .running_var = optional_data<A>(a.running_var),
                      .rows = rows,
                      .channels = channels,
                      .parts = parts,
                      .momentum = a.momentum,
                      .epsilon = a.epsilon});
    map_elements(c, "batchnorm_train", a.x.element_count(), false, a.y.data<T>(),
                 Apply<T>{optional_data<A>(a.gamma), optional_data<A>(a.beta), exact, channels,
                          a.activation},
                 x);
  });
}

}  // namespace kiln::cuda
