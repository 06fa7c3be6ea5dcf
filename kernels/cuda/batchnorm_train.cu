// batchnorm_train on a GPU: two reads of x and one write of y: 12 bytes an element in f32, 6 in 16
// bits, whose statistics, scale and shift are f32; 3 operations for the sums and 3 for y. Sums are
// taken around the first row, x - x[0], so that a large mean cancels nothing.
#include "kernels/common/batchnorm_check.h"
#include "kernels/common/batchnorm_map.h"
#include "kernels/cuda/batchnorm_rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/include/batchnorm_train.h"

namespace kiln::cuda {
namespace {

template <class T>
struct ShiftedMoments {
  const T* x;

  template <int count>
  __device__ Pack<T, count> own(std::int64_t channel) const {
    return load_pack<count>(x + channel);
  }
  template <int count>
  __device__ void add(const Pack<T, count>& first_row, std::int64_t i,
                      SumPair (&sum)[count]) const {
    const Pack<T, count> values = load_pack<count>(x + i);
    for (int k = 0; k < count; ++k) {
      const double d = static_cast<double>(widened(values.at[k])) -
                       static_cast<double>(widened(first_row.at[k]));
      sum[k].first += d;
      sum[k].second += d * d;
    }
  }
};

// y = act((x - saved_mean) scale + shift): the rounding of the saved mean is made good in `shift`.
template <class T>
struct Statistics {
  using A = Accumulated<T>;
  const T* x;
  const A *gamma, *beta;  // may be null
  A *scale, *shift;
  A *saved_mean, *saved_inv_std;
  A *running_mean, *running_var;  // may be null
  double rows, momentum, epsilon;

  __device__ void operator()(std::int64_t c, const SumPair& sum) const {
    const double around = sum.first / rows;
    const double mean = static_cast<double>(widened(x[c])) + around;
    const double m2 = sum.second - sum.first * around;
    // Rounding may leave a tiny negative number; NaN must stay.
    const double variance = m2 < 0 ? 0.0 : m2 / rows, inv_std = 1 / std::sqrt(variance + epsilon);
    saved_mean[c] = static_cast<A>(mean);
    saved_inv_std[c] = static_cast<A>(inv_std);
    const double slope = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) * inv_std;
    const double rounding = static_cast<double>(saved_mean[c]) - mean;
    scale[c] = static_cast<A>(slope);
    shift[c] =
        static_cast<A>((beta == nullptr ? 0.0 : static_cast<double>(beta[c])) + rounding * slope);
    if (running_mean != nullptr) running_mean[c] = blend(running_mean[c], mean);
    if (running_var != nullptr)
      running_var[c] = blend(running_var[c], variance * rows / (rows - 1));
  }
  __device__ A blend(A old, double now) const {
    return static_cast<A>((1 - momentum) * static_cast<double>(old) + momentum * now);
  }
};

template <class T>
void run(Context& c, const BatchnormTrainArgs& a) {
  using A = Accumulated<T>;
  const Shape& shape = a.x.shape();
  const std::int64_t rows = row_count_of(shape);
  const T* x = a.x.data<T>();
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  const BatchnormApplyArgs map =
      map_over_rows(a, reinterpret_cast<std::byte*>(partial + c.reduction_parts(rows) * shape[-1]));
  sum_channels<T>(c, "batchnorm_train", shape, ShiftedMoments<T>{x}, partial,
                  Statistics<T>{.x = x,
                                .gamma = optional_data<A>(a.gamma),
                                .beta = optional_data<A>(a.beta),
                                .scale = map.scale.data<A>(),
                                .shift = map.shift.data<A>(),
                                .saved_mean = a.saved_mean.data<A>(),
                                .saved_inv_std = a.saved_inv_std.data<A>(),
                                .running_mean = optional_data<A>(a.running_mean),
                                .running_var = optional_data<A>(a.running_var),
                                .rows = static_cast<double>(rows),
                                .momentum = a.momentum,
                                .epsilon = a.epsilon},
                  x);
  cuda::batchnorm_apply(c, map);
}

}  // namespace

void batchnorm_train(Context& c, const BatchnormTrainArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
