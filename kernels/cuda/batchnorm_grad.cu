// batchnorm_grad on a GPU: x, dy (and y) are read twice and dx is written once: 20 (28) bytes an
// element in f32, 10 (14) in 16 bits, whose statistics, scale and parameter gradients are f32; 5
// operations for the sums and 4 for dx. With gelu y is not read, and its slope is formed twice;
// whether that is cheaper than to write the gradient behind it and read it again is not yet
// measured on a GPU.
#include "kernels/common/batchnorm_check.h"
#include "kernels/cuda/batchnorm_rows.h"
#include "kernels/include/batchnorm_grad.h"

namespace kiln::cuda {
namespace {

// Of gelu's argument, channel by channel: (x - mean) scale + shift.
template <class A, int count>
struct Inner {
  A mean[count], scale[count], shift[count];
};

// What both passes read: x, and the gradient dy that the activation lets through.
template <class T>
struct Inputs {
  using A = Accumulated<T>;
  const T *x, *y, *dy;  // y is null without relu
  const A *mean, *inv_std;
  const A *gamma, *beta;  // may be null
  Activation activation;

  template <int count>
  __device__ Inner<A, count> inner(std::int64_t channel) const {
    Inner<A, count> all;
    for (int k = 0; k < count; ++k) {
      const std::int64_t c = channel + k;
      all.mean[k] = mean[c];
      all.scale[k] = (gamma == nullptr ? A(1) : gamma[c]) * inv_std[c];
      all.shift[k] = beta == nullptr ? A(0) : beta[c];
    }
    return all;
  }
};

// A pack of x and of the gradient behind the activation, the latter in the wide type: it is never
// stored.
template <class T, int count>
struct XAndGradient {
  using A = Accumulated<T>;
  Pack<T, count> x;
  A g[count];

  __device__ XAndGradient(const Inputs<T>& in, const Inner<A, count>& inner, std::int64_t i)
      : x(load_pack<count>(in.x + i)) {
    const Pack<T, count> dy = load_pack<count>(in.dy + i);
    for (int k = 0; k < count; ++k) g[k] = widened(dy.at[k]);
    if (in.activation == Activation::gelu) {
      for (int k = 0; k < count; ++k) {
        const A z = (widened(x.at[k]) - inner.mean[k]) * inner.scale[k] + inner.shift[k];
        const auto slope = gelu_derivative<T>(z);
        g[k] = static_cast<A>(static_cast<decltype(slope)>(g[k]) * slope);
      }
    }
    if (in.y == nullptr) return;
    const Pack<T, count> y = load_pack<count>(in.y + i);
    for (int k = 0; k < count; ++k)
      if (!(widened(y.at[k]) > 0)) g[k] = A(0);
  }
};

// g and g h of the header's formulas.
template <class T>
struct Terms {
  using A = Accumulated<T>;
  Inputs<T> in;

  template <int count>
  struct Own {
    Inner<A, count> inner;
    double mean[count], inv_std[count];
  };
  template <int count>
  __device__ Own<count> own(std::int64_t channel) const {
    Own<count> all;
    all.inner = in.template inner<count>(channel);
    for (int k = 0; k < count; ++k) {
      all.mean[k] = static_cast<double>(in.mean[channel + k]);
      all.inv_std[k] = static_cast<double>(in.inv_std[channel + k]);
    }
    return all;
  }
  template <int count>
  __device__ void add(const Own<count>& own, std::int64_t i, SumPair (&sum)[count]) const {
    const XAndGradient<T, count> pack(in, own.inner, i);
    for (int k = 0; k < count; ++k) {
      const auto g = static_cast<double>(pack.g[k]);
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
  Inputs<T> in;
  T* dx;
  const Slopes<A>* slopes;
  bool accumulate;

  template <int count>
  struct Own {
    Inner<A, count> inner;
    Slopes<A> slopes[count];
  };
  template <int count>
  __device__ Own<count> own(std::int64_t channel) const {
    Own<count> all;
    all.inner = in.template inner<count>(channel);
    for (int k = 0; k < count; ++k) all.slopes[k] = slopes[channel + k];
    return all;
  }
  template <int count>
  __device__ void map(const Own<count>& own, std::int64_t i) const {
    const XAndGradient<T, count> pack(in, own.inner, i);
    Pack<T, count> to{};
    if (accumulate) to = load_pack<count>(dx + i);
    for (int k = 0; k < count; ++k) {
      const Slopes<A>& s = own.slopes[k];
      const A centred = widened(pack.x.at[k]) - own.inner.mean[k];
      const A value = s.scale * pack.g[k] - s.offset - centred * s.slope;
      to.at[k] = stored<T>(accumulate ? widened(to.at[k]) + value : value);
    }
    store_pack(dx + i, to);
  }
};

template <class T>
Inputs<T> inputs_of(const BatchnormGradArgs& a) {
  using A = Accumulated<T>;
  return {.x = a.x.data<const T>(),
          .y = a.activation == Activation::relu ? a.y.data<const T>() : nullptr,
          .dy = a.dy.data<const T>(),
          .mean = a.saved_mean.data<A>(),
          .inv_std = a.saved_inv_std.data<A>(),
          .gamma = optional_data<A>(a.gamma),
          .beta = optional_data<A>(a.beta),
          .activation = a.activation};
}

template <class T>
void run(Context& c, const BatchnormGradArgs& a) {
  using A = Accumulated<T>;
  const Shape& shape = a.x.shape();
  const std::int64_t rows = row_count_of(shape);
  auto* partial = reinterpret_cast<SumPair*>(a.scratch);
  auto* slopes = reinterpret_cast<Slopes<A>*>(partial + c.reduction_parts(rows) * shape[-1]);
  const Inputs<T> in = inputs_of<T>(a);
  sum_channels<T>(c, "batchnorm_grad", shape, Terms<T>{in}, partial,
                  Totals<T>{.slopes = slopes,
                            .gamma = in.gamma,
                            .inv_std = in.inv_std,
                            .dgamma = optional_data<A>(a.dgamma),
                            .dbeta = optional_data<A>(a.dbeta),
                            .rows = static_cast<double>(rows),
                            .add = a.accumulate_parameters},
                  in.x, in.y, in.dy);
  if (a.mode == GradWrite::skip) return;
  T* dx = a.dx.data<T>();
  map_rows<T>(c, "batchnorm_grad", shape,
              InputGradient<T>{in, dx, slopes, a.mode == GradWrite::accumulate}, in.x, in.y, in.dy,
              dx);
}

}  // namespace

void batchnorm_grad(Context& c, const BatchnormGradArgs& a) {
  visit_type(a.x, [&](auto zero) { run<decltype(zero)>(c, a); });
}

}  // namespace kiln::cuda
