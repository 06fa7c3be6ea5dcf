// batchnorm_grad on a GPU: x, dy (and y) are read twice and dx is written once: 20 (28) bytes an
// element in f32, 10 (14) in 16 bits, whose statistics, scale and parameter gradients are f32; 5
// operations for the sums and 4 for dx.
#include "kernels/common/batchnorm_check.h"
#include "kernels/cuda/batchnorm_rows.h"
#include "kernels/include/batchnorm_grad.h"

namespace kiln::cuda {
namespace {

// What both passes read of a pack: x and the gradient that the activation lets through.
template <class T, int count>
struct XAndGradient {
  Pack<T, count> x, g;
  __device__ XAndGradient(const T* x_from, const T* y_from, const T* dy_from, std::int64_t i)
      : x(load_pack<count>(x_from + i)), g(load_pack<count>(dy_from + i)) {
    if (y_from == nullptr) return;
    const Pack<T, count> y = load_pack<count>(y_from + i);
    for (int k = 0; k < count; ++k)
      if (!(widened(y.at[k]) > 0)) g.at[k] = T{};
  }
};

// g and g h of the header's formulas.
template <class T>
struct Terms {
  using A = Accumulated<T>;
  const T *x, *y, *dy;  // y is null without an activation
  const A *mean, *inv_std;

  template <int count>
  struct Own {
    double mean[count], inv_std[count];
  };
  template <int count>
  __device__ Own<count> own(std::int64_t channel) const {
    Own<count> all;
    for (int k = 0; k < count; ++k) {
      all.mean[k] = static_cast<double>(mean[channel + k]);
      all.inv_std[k] = static_cast<double>(inv_std[channel + k]);
    }
    return all;
  }
  template <int count>
  __device__ void add(const Own<count>& own, std::int64_t i, SumPair (&sum)[count]) const {
    const XAndGradient<T, count> pack(x, y, dy, i);
    for (int k = 0; k < count; ++k) {
      const auto g = static_cast<double>(widened(pack.g.at[k]));
      const auto value = static_cast<double>(widened(pack.x.at[k]));
      sum[k].first += g;
      sum[k].second += g * ((value - own.mean[k]) * own.inv_std[k]);
    }
  }
};

// dx = scale g - offset - slope (x - mean)
template <class A>
struct Slopes {
  A scale, offset, slope;
};

// Writes the parameters' gradients where they are wanted, and what dx needs of a channel.
template <class T>
struct Totals {
  using A = Accumulated<T>;
  Slopes<A>* slopes;
  const A *gamma, *inv_std;  // gamma may be null
  A *dgamma, *dbeta;         // or null
  double rows;
  bool add;

  __device__ void operator()(std::int64_t c, const SumPair& sum) const {
    const auto inverse = static_cast<double>(inv_std[c]);
    const double scale = (gamma == nullptr ? 1.0 : static_cast<double>(gamma[c])) * inverse;
    slopes[c] = {static_cast<A>(scale), static_cast<A>(scale * sum.first / rows),
                 static_cast<A>(scale * inverse * sum.second / rows)};
    if (dbeta == nullptr) return;
    write_gradient(dbeta + c, static_cast<A>(sum.first), add);
    write_gradient(dgamma + c, static_cast<A>(sum.second), add);
  }
};

template <class T>
struct InputGradient {
  using A = Accumulated<T>;
  const T *x, *y, *dy;  // y is null without an activation
  T* dx;
  const A* mean;
  const Slopes<A>* slopes;
  bool accumulate;

  template <int count>
  struct Own {
    A mean[count];
    Slopes<A> slopes[count];
  };
  template <int count>
  __device__ Own<count> own(std::int64_t channel) const {
    Own<count> all;
    for (int k = 0; k < count; ++k) {
      all.mean[k] = mean[channel + k];
      all.slopes[k] = slopes[channel + k];
    }
    return all;
  }
  template <int count>
  __device__ void map(const Own<count>& own, std::int64_t i) const {
    const XAndGradient<T, count> pack(x, y, dy, i);
    Pack<T, count> to{};
    if (accumulate) to = load_pack<count>(dx + i);
    for (int k = 0; k < count; ++k) {
      const Slopes<A>& s = own.slopes[k];
      const A centred = widened(pack.x.at[k]) - own.mean[k];
      const A value = s.scale * widened(pack.g.at[k]) - s.offset - centred * s.slope;
      to.at[k] = stored<T>(accumulate ? widened(to.at[k]) + value : value);
    }
    store_pack(dx + i, to);
  }
};

template <class T>
void run(Context& c, const BatchnormGradArgs& a) {
  using A = Accumulated<T>;
  const Shape& shape = a.x.shape();
  const std::int64_t rows = row_count_of(shape);
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  auto* slopes = reinterpret_cast<Slopes<A>*>(partial + c.reduction_parts(rows) * shape[-1]);
  const T* y = a.activation == Activation::relu ? a.y.data<const T>() : nullptr;
  const T *x = a.x.data<const T>(), *dy = a.dy.data<const T>();
  const A *mean = a.saved_mean.data<A>(), *inv_std = a.saved_inv_std.data<A>();
  sum_channels<T>(c, "batchnorm_grad", shape, Terms<T>{x, y, dy, mean, inv_std}, partial,
                  Totals<T>{.slopes = slopes,
                            .gamma = optional_data<A>(a.gamma),
                            .inv_std = inv_std,
                            .dgamma = optional_data<A>(a.dgamma),
                            .dbeta = optional_data<A>(a.dbeta),
                            .rows = static_cast<double>(rows),
                            .add = a.accumulate_parameters},
                  x, y, dy);
  if (a.mode == GradWrite::skip) return;
  T* dx = a.dx.data<T>();
  map_rows<T>(c, "batchnorm_grad", shape,
              InputGradient<T>{x, y, dy, dx, mean, slopes, a.mode == GradWrite::accumulate}, x, y,
              dy, dx);
}

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
