// batchnorm_grad on a GPU: x, dy (and y) are read twice and dx is written once: 20 (28) bytes an
// element in f32, 10 (14) in 16 bits, whose statistics, scale and parameter gradients are f32.
#include "kernels/common/batchnorm_check.h"
#include "kernels/cuda/batchnorm_sums.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/include/batchnorm_grad.h"

namespace kiln::cuda {
namespace {

// g and h of the header's formulas.
template <class T>
struct Terms {
  const T *x, *y, *dy;  // y is null without an activation
  const Accumulated<T>*mean, *inv_std;
  std::int64_t channels;

  __device__ double h(Accumulated<T> value, std::int64_t c) const {
    return (static_cast<double>(value) - static_cast<double>(mean[c])) *
           static_cast<double>(inv_std[c]);
  }
  __device__ SumPair operator()(std::int64_t row, std::int64_t c) const {
    const std::int64_t i = row * channels + c;
    const bool open = y == nullptr || widened(y[i]) > 0;
    const double g = open ? static_cast<double>(widened(dy[i])) : 0.0;
    return {g, g * h(widened(x[i]), c)};
  }
};

// total[c] = (dbeta, dgamma); writes the parameters' gradients where they are wanted.
template <class T>
struct Totals {
  const SumPair* partial;
  SumPair* total;
  Accumulated<T>*dgamma, *dbeta;  // or null
  std::int64_t channels;
  int parts;
  bool add;
  __device__ void operator()(std::int64_t c) const {
    const SumPair sum = add_parts(partial, parts, channels, c);
    total[c] = sum;
    if (dbeta == nullptr) return;
    write_gradient(dbeta + c, static_cast<Accumulated<T>>(sum.first), add);
    write_gradient(dgamma + c, static_cast<Accumulated<T>>(sum.second), add);
  }
};

template <class T>
struct InputGradient {
  using A = Accumulated<T>;
  Terms<T> terms;
  const SumPair* total;
  const A* gamma;  // or null
  double rows;

  __device__ A operator()(std::int64_t i, A x, A dy) const {
    const std::int64_t c = i % terms.channels;
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) *
                         static_cast<double>(terms.inv_std[c]);
    const double value =
        static_cast<double>(dy) - total[c].first / rows - terms.h(x, c) * total[c].second / rows;
    return static_cast<A>(scale * value);
  }
  __device__ A operator()(std::int64_t i, A x, A dy, A y) const {
    return (*this)(i, x, y > 0 ? dy : A(0));
  }
};

template <class T>
void run(Context& c, const BatchnormGradArgs& a) {
  using A = Accumulated<T>;
  const std::int64_t rows = row_count_of(a.x.shape()), channels = a.x.shape()[-1];
  const int parts = c.reduction_parts(rows);
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  SumPair* total = partial + parts * channels;
  const T* y = a.activation == Activation::relu ? a.y.data<const T>() : nullptr;
  const T *x = a.x.data<const T>(), *dy = a.dy.data<const T>();
  const Terms<T> terms{x, y, dy, a.saved_mean.data<A>(), a.saved_inv_std.data<A>(), channels};
  sum_channels(c, "batchnorm_grad", rows, channels, parts, terms, partial);
  map(c, "batchnorm_grad", channels,
      Totals<T>{partial, total, optional_data<A>(a.dgamma), optional_data<A>(a.dbeta), channels,
                parts, a.accumulate_parameters});
  if (a.mode == GradWrite::skip) return;
  const bool add = a.mode == GradWrite::accumulate;
  const InputGradient<T> body{terms, total, optional_data<A>(a.gamma), static_cast<double>(rows)};
  const std::int64_t count = a.x.element_count();
  if (y == nullptr)
    map_elements(c, "batchnorm_grad", count, add, a.dx.data<T>(), body, x, dy);
  else
    map_elements(c, "batchnorm_grad", count, add, a.dx.data<T>(), body, x, dy, y);
}

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
