// batchnorm_grad on a GPU: x, dy (and y) are read twice and dx is written once.
#include "kernels/common/batchnorm_check.h"
#include "kernels/cuda/batchnorm_sums.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/batchnorm_grad.h"

namespace kiln::cuda {
namespace {

// g and h of the header's formulas.
template <class T>
struct Terms {
  const T *x, *y, *dy, *mean, *inv_std;  // y is null without an activation
  std::int64_t channels;

  __device__ double g(std::int64_t i) const {
    return y == nullptr || y[i] > T(0) ? static_cast<double>(dy[i]) : 0.0;
  }
  __device__ double h(std::int64_t i, std::int64_t c) const {
    return (static_cast<double>(x[i]) - static_cast<double>(mean[c])) *
           static_cast<double>(inv_std[c]);
  }
  __device__ SumPair operator()(std::int64_t row, std::int64_t c) const {
    const std::int64_t i = row * channels + c;
    return {g(i), g(i) * h(i, c)};
  }
};

// total[c] = (dbeta, dgamma); writes the parameters' gradients where they are wanted.
template <class T>
struct Totals {
  const SumPair* partial;
  SumPair* total;
  T *dgamma, *dbeta;  // or null
  std::int64_t channels;
  int parts;
  bool add;

  __device__ void operator()(std::int64_t c) const {
    const SumPair sum = add_parts(partial, parts, channels, c);
    total[c] = sum;
    if (dbeta == nullptr) return;
    write_gradient(dbeta + c, static_cast<T>(sum.first), add);
    write_gradient(dgamma + c, static_cast<T>(sum.second), add);
  }
};

template <class T>
struct InputGradient {
  Terms<T> terms;
  const SumPair* total;
  const T* gamma;
  T* dx;
  std::int64_t rows;
  bool add;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t c = i % terms.channels;
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) *
                         static_cast<double>(terms.inv_std[c]);
    const double count = static_cast<double>(rows);
    const double value =
        terms.g(i) - total[c].first / count - terms.h(i, c) * total[c].second / count;
    write_gradient(dx + i, static_cast<T>(scale * value), add);
  }
};

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  const std::int64_t rows = row_count_of(a.x.shape()), channels = a.x.shape()[-1];
  const int parts = c.reduction_parts(rows);
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  SumPair* total = partial + parts * channels;
  visit_type(a.x, [&](auto zero) {
    using T = decltype(zero);
    const T* y = a.activation == Activation::relu ? a.y.data<T>() : nullptr;
    const Terms<T> terms{
        a.x.data<T>(), y, a.dy.data<T>(), a.saved_mean.data<T>(), a.saved_inv_std.data<T>(),
        channels};
    sum_channels(c, "batchnorm_grad", rows, channels, parts, terms, partial);
    map(c, "batchnorm_grad", channels,
        Totals<T>{partial, total, optional_data<T>(a.dgamma), optional_data<T>(a.dbeta), channels,
                  parts, a.accumulate_parameters});
    if (a.mode == GradWrite::skip) return;
    map(c, "batchnorm_grad", a.x.element_count(),
        InputGradient<T>{terms, total, optional_data<T>(a.gamma), a.dx.data<T>(), rows,
                         a.mode == GradWrite::accumulate});
  });
}

}  // namespace kiln::cuda
